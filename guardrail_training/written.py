"""Hand-written statements with hand-written passages, right (+) and wrong (-), in wording that no template has. The
passages of SEEN were known while the classifier of groundedness was developed, the others were not."""

from collections.abc import Iterator

WRITTEN = (
    """
    # Personal loans. You need a credit score of at least 655 for a personal loan. You can borrow up to
    $28,000 over 12 to 66 months. The origination fee is 2%.
    # Wires. Incoming domestic wires cost $8. Outgoing domestic wires cost $21.50, and outgoing
    international wires $41. A wire sent before 3 p.m. arrives the same day.
    # Ridge Checking. The monthly fee is $14.20. The fee is waived from a balance of $6,500. Statements on
    paper cost $2 each, online statements are free.
    + The minimum score is 655.
    + The minimum score for a personal loan is 655.
    - The maximum score for a personal loan is 655.
    + You can borrow $28,000 at most.
    + The maximum loan is $28,000.
    - The minimum loan is $28,000.
    - You must borrow at least $28,000.
    + A personal loan runs from 12 to 66 months.
    + You can take up to 66 months to repay a personal loan.
    - A personal loan runs from 12 to 28 months.
    + Receiving a wire from inside the country costs $8.
    - An incoming wire costs $21.50.
    - An outgoing domestic wire costs $8.
    + An outgoing domestic wire is $21.50.
    + Send the wire before 3 p.m. and it arrives the same day.
    - A wire sent after 3 p.m. arrives the same day.
    + There is no monthly fee if your balance is at least $6,500.
    - There is no monthly fee on Ridge Checking.
    - The fee is not waived from a balance of $6,500.
    - The fee is waived if you are over 65.
    + Online statements cost nothing.
    - Paper statements are free.
    + You pay $2 for each paper statement.
    - You pay $2 for each online statement.
    - We can also waive the fee for students.
    - A personal loan needs a co-signer.
    + We charge a 2% origination fee on personal loans.
    """,
    """
    # Kestrel Inn. Review 2. The pool was closed, but our room was quiet and the beds were soft. Wifi worked
    everywhere.
    # Kestrel Inn. Does Kestrel Inn have a sauna?. Yes, there is a sauna on the roof. Kestrel Inn does not
    allow dogs. Parking is free for guests.
    # Heron House. Review 4. We could hear the trains all night. The waiters were charming. Breakfast was
    cold.
    + Kestrel Inn has a rooftop sauna.
    - Kestrel Inn has no sauna.
    - The beds at Kestrel Inn were broken.
    + The beds at Kestrel Inn were soft.
    + The beds at Kestrel Inn are comfortable.
    + No, you cannot bring your dog to Kestrel Inn.
    - Yes, you can bring your dog to Kestrel Inn.
    + The wifi at Kestrel Inn is reliable, according to a guest.
    - The wifi at Heron House is good.
    + Heron House is noisy because of the trains.
    - Heron House is quiet at night.
    + Staff at Heron House is friendly.
    - The waiters at Heron House were rude.
    + You do not pay for parking at Kestrel Inn.
    - Parking at Kestrel Inn costs $5.
    + Guests at Heron House were served a cold breakfast.
    - Guests praise the breakfast at Heron House.
    """,
    """
    # Password reset. Open the portal and choose Forgot password. The link is valid for 30 minutes. After
    five wrong attempts the account is locked for an hour; the help desk can unlock it sooner.
    # Laptops. New employees receive a laptop on their first day. Repairs take 3 to 5 working days. A loan
    device is available meanwhile. Private software must not be installed.
    + The reset link expires after 30 minutes.
    - The reset link expires after an hour.
    + Your account locks after 5 failed attempts.
    - Your account locks after 3 failed attempts.
    + The help desk is able to unlock your account before the hour is over.
    - The help desk cannot unlock your account.
    + You may not install private software.
    - You may install private software.
    + You get a laptop on day one.
    + While yours is repaired, you can borrow another laptop.
    - A repair takes a week at least.
    + A repair takes at most 5 working days.
    - Send your laptop to the manufacturer for repairs.
    """,
    """
    # Lease terms. The lease runs for 12 months. Either side may end it with 60 days' notice. Rent is due on
    the first of the month; after the fifth a late fee of $75 applies. Up to two pets are allowed, with a
    deposit of $300 each.
    # Repairs. The landlord pays for the heating and the plumbing. Tenants replace light bulbs and filters.
    Call the emergency line at night for water leaks only.
    + The lease is for one year.
    - The lease is for two years.
    + You have to give 60 days' notice if you want to move out.
    - You may move out without notice.
    + If you pay after the fifth, you owe another $75.
    - The late fee is $300.
    + Rent has to be paid on the 1st of each month.
    - Rent is due on the fifth of the month.
    + You may keep two pets at most.
    - Pets are not allowed.
    - The deposit for a pet is $75.
    + Each pet costs a deposit of $300.
    + Changing filters is up to the tenant.
    - Tenants pay for the plumbing.
    + The owner covers repairs of the heating.
    - You can call the emergency line at night about a broken window.
    - The building has a gym for tenants.
    + At night the emergency line is meant for water leaks.
    """,
    """
    # Visits. Please arrive 15 minutes early and bring your insurance card. Appointments that are cancelled
    less than 24 hours ahead are charged at $40. Children under 16 need a parent with them.
    # Blood tests. Do not eat for eight hours before a blood test; water is fine. Results are ready within
    three days and are posted in the portal. The lab is open on weekdays from 7 a.m. to 11 a.m.
    + You should be there a quarter of an hour before your appointment.
    + Take your insurance card with you.
    - You do not need your insurance card.
    + Cancelling on the same day costs $40.
    - Cancelling two days ahead costs $40.
    + A 12-year-old has to come with a parent.
    - Children of any age may come alone.
    + You may drink water before the blood test.
    - You may eat before the blood test.
    + Do not have any food in the eight hours before.
    + It takes up to three days until the results are there.
    - The results are sent by mail.
    + You find your results in the portal.
    - The lab is open on Saturdays.
    + The lab closes at 11 a.m.
    - The lab opens at 11 a.m.
    - The blood test is paid for by your insurance.
    """,
    """
    # Power of attorney. The form must be signed before a notary. Two witnesses are required, who may not be
    relatives. The notary charges $25 per signature. A power of attorney ends with the death of the person
    who gave it.
    # Fees. The first consultation of 30 minutes is free. After that we bill $220 an hour, in steps of six
    minutes. A flat fee of $900 applies to simple wills. Court costs are not included.
    + You have to sign the form in front of a notary.
    - The form does not have to be notarized.
    + Your brother cannot be a witness.
    - One witness is enough.
    + You need two witnesses.
    + Each signature costs $25 at the notary's.
    - The notary charges $220 per signature.
    - The power of attorney goes on after death.
    + When the person who gave it dies, it ends.
    + You do not pay for the first half hour.
    - The first consultation costs $220.
    + Our hourly rate is $220.
    + For a simple will we ask $900.
    - A simple will costs $900 an hour.
    + Court costs come on top.
    - Court costs are included in the flat fee.
    - We also draft trusts for $900.
    """,
)
SEEN = 3  # groups


def written(seen: bool) -> Iterator[tuple[str, list[str], bool]]:
    """Statement, passages, and whether they support it; of the groups that were known, or of the others."""
    for group in WRITTEN[:SEEN] if seen else WRITTEN[SEEN:]:
        passages: list[str] = []
        for line in group.strip().splitlines():
            mark, _, text = line.strip().partition(" ")
            if mark == "#":
                passages.append(text)
            elif mark in "+-":
                yield text, passages, mark == "+"
            else:  # continues the passage
                passages[-1] += f" {line.strip()}"
