// Scripts of every page: the menu on a phone, the theme, and the session's token in htmx's requests.
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const side = $("side"), menu = $("menu"), theme = $("theme");
  menu?.addEventListener("click", () => {
    const open = side.classList.toggle("is-open");
    menu.setAttribute("aria-expanded", String(open));
  });
  theme?.addEventListener("click", () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    try { localStorage.setItem("theme", root.dataset.theme); } catch { /* no storage: the choice lasts for this page */ }
    document.dispatchEvent(new Event("themechange"));
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => document.dispatchEvent(new Event("themechange")));
  document.body.addEventListener("htmx:configRequest", (event) => {
    const token = document.querySelector('meta[name="csrf"]')?.content;
    if (token) event.detail.headers["x-csrf"] = token;
  });
  // Signed out in the meantime: reload, and the page says so.
  document.body.addEventListener("htmx:responseError", (event) => { if (event.detail.xhr.status === 401) location.reload(); });
})();
