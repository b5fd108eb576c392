// What every client tries, and how it reports: one line of JSON per feature.

export const URL = process.env.INHOUSE_URL, KEY = process.env.INHOUSE_KEY, MODEL = "custom";
export const ASK = "How much is an outgoing domestic wire?";
export const TOOL_ASK = "What is the balance of account 4711?";

const check = (holds, problem) => { if (!holds) throw new Error(problem); };

export function right(text) { check(text?.includes("21.50"), `the price is missing: ${text}`); }

export function fee(got) {
  check(/wire/i.test(got?.service) && got.usd === 21.5, `not the fee: ${JSON.stringify(got)}`);
}

export function called(name, args) {
  const got = typeof args === "string" ? JSON.parse(args) : args;
  check(name === "get_balance" && String(got?.account).includes("4711"), `not the call: ${name} ${JSON.stringify(got)}`);
}

export async function refused(work, said) {
  let problem = null;
  try { await work(); } catch (error) { problem = error; }
  check(problem?.message?.includes(said), `${said} is not refused by name: ${problem}`);
}

export function vectors(...rows) {
  for (const row of rows) check(Math.abs(row.reduce((sum, x) => sum + x * x, 0) - 1) < 1e-3, "not a unit vector");
}

export async function run(features) {
  for (const [feature, work] of Object.entries(features)) {
    let problem = "";
    try { await work(); } catch (error) { problem = String(error).slice(0, 400); }
    console.log(JSON.stringify({ feature, ok: !problem, problem }));
  }
}
