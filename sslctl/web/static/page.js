// The page works without this script. It adds three things: results that follow the typing, jobs that are followed without loading the
// page again, and copy buttons.
"use strict";

const WAIT_MS = 250;
const MOST_MISSES = 4;

function addressOf(form) {
  const parameters = new URLSearchParams();
  for (const [name, value] of new FormData(form)) {
    if (value) parameters.append(name, value);
  }
  const query = parameters.toString();
  return query ? `${form.getAttribute("action")}?${query}` : form.getAttribute("action");
}

function followTyping(form) {
  const results = document.getElementById(form.dataset.live);
  let timer;
  let running;

  async function refresh() {
    const address = addressOf(form);
    running?.abort();
    running = new AbortController();
    let page;
    try {
      const response = await fetch(address, { signal: running.signal, credentials: "same-origin" });
      page = new DOMParser().parseFromString(await response.text(), "text/html");
    } catch (error) {
      // An older request that a newer one replaced, or no connection: the button still sends the form.
      if (error.name !== "AbortError") results.removeAttribute("aria-busy");
      return;
    }
    const fresh = page.getElementById(results.id);
    if (!fresh) {
      // Such as the end of the session: show that page.
      window.location.assign(address);
      return;
    }
    results.replaceChildren(...fresh.childNodes);
    results.removeAttribute("aria-busy");
    const count = results.querySelector(".matching") || results.querySelector("[role=alert]");
    document.getElementById("announcement").textContent = count ? count.textContent.trim() : "";
    window.history.replaceState(null, "", address);
  }

  function schedule() {
    window.clearTimeout(timer);
    results.setAttribute("aria-busy", "true");
    timer = window.setTimeout(refresh, WAIT_MS);
  }

  form.addEventListener("input", schedule);
  // The button sends the form as without this script.
  form.addEventListener("submit", () => window.clearTimeout(timer));
}

async function copy(button) {
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
  } catch {
    // The browser does not allow it: the text beside the button can be selected.
    return;
  }
  const before = button.textContent;
  button.textContent = button.dataset.copied;
  document.getElementById("announcement").textContent = button.dataset.copied;
  window.setTimeout(() => {
    button.textContent = before;
  }, 2000);
}

async function followJob(part, misses = 0) {
  try {
    const response = await fetch(window.location.href, { credentials: "same-origin" });
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const fresh = page.getElementById(part.id);
    if (!fresh) {
      window.location.reload();
      return;
    }
    const isNews = fresh.querySelectorAll(".steps li").length !== part.querySelectorAll(".steps li").length;
    if (isNews || misses || !fresh.dataset.follow) part.replaceWith(fresh);
    if (fresh.dataset.follow) window.setTimeout(followJob, fresh.dataset.follow, isNews || misses ? fresh : part);
  } catch {
    // No connection for now, or the server has ended.
    if (misses === MOST_MISSES) part.querySelector("[role=status]").textContent = part.dataset.lost;
    window.setTimeout(followJob, part.dataset.follow, part, misses + 1);
  }
}

document.querySelectorAll("form[data-live]").forEach(followTyping);
document.querySelectorAll("[data-follow]").forEach((part) => window.setTimeout(followJob, part.dataset.follow, part));

// The clipboard needs HTTPS or a loopback address: elsewhere the buttons stay hidden, and the text can be selected.
if (navigator.clipboard) {
  document.documentElement.classList.add("can-copy");
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-copy]");
    if (button) copy(button);
  });
}
