// The tour of the demo: three steps. The second is shown by itself when something arrives.
"use strict";

(() => {
  const byId = (id) => document.getElementById(id);
  const KEY = "phone-verify-tour-closed";
  const STEPS = [
    ["Sign in to the example site with a number such as +98 912 000 0000.", ".sites"],
    ["Watch the phone next to it: it shows a message, rings, or offers to call a number.", ".desk"],
    ["Enter the code in the site. After your call it continues by itself.", ".sites"],
  ];
  const count = () => document.querySelectorAll("#handsets .handset, #handsets .item, #handsets .wait").length;
  let step = 0;
  let before = null; // what the page showed at first, from earlier visits

  const stored = () => {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null; // storage is blocked: the tour is shown each time
    }
  };

  function close() {
    byId("tour").hidden = true;
    document.querySelectorAll(".tour-target").forEach((each) => each.classList.remove("tour-target"));
    try {
      localStorage.setItem(KEY, "1");
    } catch {
      // as above
    }
  }

  function show(index) {
    step = index;
    const [text, target] = STEPS[step];
    byId("tour-step").textContent = `${step + 1}/${STEPS.length}`;
    const heading = document.createElement("span");
    heading.className = "unseen";
    heading.textContent = `Step ${step + 1} of ${STEPS.length}. `;
    byId("tour-text").replaceChildren(heading, text);
    byId("tour-back").disabled = step === 0;
    byId("tour-next").textContent = step === STEPS.length - 1 ? "Done" : "Next";
    document.querySelectorAll(".tour-target").forEach((each) => each.classList.remove("tour-target"));
    document.querySelector(target).classList.add("tour-target");
  }

  byId("tour-close").addEventListener("click", close);
  byId("tour-back").addEventListener("click", () => show(step - 1));
  byId("tour-next").addEventListener("click", () => (step === STEPS.length - 1 ? close() : show(step + 1)));
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !byId("tour").hidden) close();
  });
  document.addEventListener("sandbox-change", () => {
    before ??= count();
    if (!byId("tour").hidden && step < 1 && count() > before) show(1);
  });

  if (!stored()) {
    byId("tour").hidden = false;
    show(0);
  }
})();
