// The number field: a list of countries with calling codes, and the number grouped as it is typed. The metadata comes
// from the server of this module, one small file for each region; without it the field stays a plain one.
import { ascii } from "./digits.js";
import { h } from "./dom.js";

// What a number may contain besides digits. Any other text is left as it is: the server reads it.
const OTHER = /[^\p{Nd}\p{Pd}\p{Cf}\s+().\/\u2212]/u;
const kept = (text) => text.replace(/[^\p{Nd}+]/gu, "");

const load = (name) =>
  fetch(new URL(name, import.meta.url))
    .then((answer) => answer.json())
    .catch(() => null);

// Group the digits by the first format that they fill, else by the first that they begin. `trunk` comes before them.
const arranged = (digits, formats, trunk = "") => {
  const fitting = formats.filter(([leading]) => new RegExp(`^(?:${leading})`).test(digits));
  const whole = ([, pattern]) => digits.match(`^(?:${pattern})$`);
  const longest = ([, pattern]) => "9".repeat(15).match(pattern.replace(/\[[^\]]*\]/g, "\\d"));
  const format = fitting.find(whole) ?? fitting.find((each) => longest(each)[0].length > digits.length);
  if (!digits || !format) {
    return trunk + digits;
  }
  const groups = whole(format) ?? longest(format);
  const left = [...digits];
  const text = format[trunk ? 3 : 2]
    .replace(/\$(\d)/g, (_, group) => groups[group].replace(/./g, () => left.shift() ?? "x"))
    .replace(/\D*(x.*)?$/, "");
  return text.includes(")") ? text : text.replace("(", "");
};

// The text of a number, given as its digits without calling code or in national form.
export const written = (digits, code, meta) => {
  if (code) {
    return `+${code} ${meta ? arranged(digits, meta.international ?? meta.national) : digits}`;
  }
  const trunk = meta?.trunk && digits.startsWith(meta.trunk) ? meta.trunk : "";
  return meta ? arranged(digits.slice(trunk.length), meta.national, trunk) : digits;
};

// The region of a number without its calling code. Of regions that share a code, the present one is kept as long as
// the number can be its own.
export const regionOf = (digits, code, regions, present, length) => {
  const sharing = regions.filter((row) => row[1] === code);
  const own = sharing.find((row) => row[2] && new RegExp(`^(?:${row[2]})`).test(digits));
  const kept = sharing.find((row) => row[0] === present && (digits.length < length || row[2] === ""));
  return (own ?? kept ?? sharing.find((row) => row[2] === undefined) ?? sharing[0])?.[0];
};

// Letters that people write in several ways become one: with and without accents, Arabic and Persian ones.
const folded = (text) =>
  text
    .normalize("NFKD")
    .replace(/[\p{M}\u200c]/gu, "")
    .toLowerCase()
    .replace(/[يى]/g, "ی")
    .replace(/ك/g, "ک")
    .replace(/ة/g, "ه");

const regionNames = (language) => {
  const names = new Intl.DisplayNames([language], { type: "region" });
  return (region) => (region ? names.of(region) : "");
};

// The regions that a query finds, best first: by calling code, or by the words of their names.
const foundIn = (rows, query, language) => {
  const digits = ascii(query).replace(/\D/g, "");
  const text = folded(query.trim());
  const names = ["en", language].map(regionNames);
  const rank = (row) => {
    if (digits) {
      return row.code.startsWith(digits) ? row.code.length - row.isMain / 2 : -1;
    }
    const native = () => regionNames(new Intl.Locale(`und-${row.region}`).maximize().language);
    row.words ??= folded([row.region, ...[...names, native()].map((name) => name(row.region))].join(" "));
    return [row.words.startsWith(text), row.words.includes(` ${text}`), row.words.includes(text)].indexOf(true);
  };
  const ranked = rows.map((row) => [rank(row), row]).filter(([place]) => place >= 0);
  return ranked.sort(([one], [other]) => one - other).map(([, row]) => row);
};

// A combobox with a list (WAI-ARIA: editable combobox with list autocomplete); `choose` gets the chosen region.
const countryList = (input, language, texts, say, choose) => {
  const id = `${input.id}-country`;
  const name = regionNames(language);
  const code = h("bdi", { dir: "ltr" });
  const list = h("ul.pv-countries", { id: `${id}-list`, role: "listbox", "aria-label": texts.country, hidden: "" });
  const field = h("input.input.pv-input.pv-country", {
    id, role: "combobox", autocomplete: "off", spellcheck: "false",
    "aria-autocomplete": "list", "aria-controls": list.id, "aria-label": texts.country, "aria-describedby": `${id}-code`,
  });
  const box = h("div.pv-country-box", null, field, h("span.pv-country-code", { id: `${id}-code` }, code), list);
  input.before(box);

  let regions = [];
  let rows;
  let present = "";
  let active = null;
  const setActive = (option) => {
    active?.setAttribute("aria-selected", "false");
    active = option;
    active?.setAttribute("aria-selected", "true");
    active?.scrollIntoView({ block: "nearest" });
    field.setAttribute("aria-activedescendant", active?.id ?? "");
  };
  const setOpen = (isOpen) => {
    list.hidden = !isOpen;
    field.setAttribute("aria-expanded", isOpen);
  };
  const close = () => {
    setOpen(false);
    setActive(null);
    field.value = name(present);
    if (field.matches(":focus")) {
      field.select();
    }
  };
  const rowOf = ([region, callingCode, own]) => {
    const shown = name(region);
    const option = h("li", { role: "option", id: `${id}-${region}`, "aria-selected": "false" }, shown, h("bdi", { dir: "ltr" }, `+${callingCode}`));
    return { region, code: callingCode, isMain: own === undefined, shown, option };
  };
  const open = (query) => {
    const { compare } = new Intl.Collator(language);
    rows ??= regions.map(rowOf).sort((one, other) => compare(one.shown, other.shown));
    const found = query ? foundIn(rows, query, language) : rows;
    list.replaceChildren(...found.map(({ option }) => option));
    setOpen(found.length > 0);
    setActive((query ? found[0] : rows.find(({ region }) => region === present))?.option);
    if (query) {
      say(found.length ? texts.found.replace("{count}", found.length) : texts.none);
    }
  };
  const pick = () => {
    const row = rows.find(({ option }) => option === active);
    close();
    if (row) {
      choose(row.region);
    }
  };
  const keys = {
    ArrowDown: () => move(1),
    ArrowUp: () => move(-1),
    Enter: () => (active ? pick() : open("")), // Never sends the form: the visitor is in the middle of it.
    Escape: close,
  };
  const move = (step) => {
    const options = [...list.children];
    if (list.hidden) {
      open("");
    } else {
      setActive(options.at((options.indexOf(active) + (active || step > 0 ? step : 0)) % options.length));
    }
  };

  field.addEventListener("focus", () => field.select());
  field.addEventListener("click", () => (list.hidden ? open("") : close()));
  field.addEventListener("input", () => open(field.value));
  field.addEventListener("blur", close);
  field.addEventListener("keydown", (event) => {
    if (event.key === "Tab" && active && field.value !== name(present)) {
      pick();
    } else if (keys[event.key] && !event.isComposing) {
      event.preventDefault();
      keys[event.key]();
    }
  });
  list.addEventListener("pointerdown", (event) => event.preventDefault()); // The field keeps the focus.
  list.addEventListener("click", (event) => {
    setActive(event.target.closest("[role=option]"));
    pick();
  });
  setOpen(false);

  return {
    offer(listed) {
      regions = listed;
      rows = null;
      box.hidden = listed.length < 2;
      if (field.matches(":focus")) {
        open(field.value === name(present) ? "" : field.value);
      }
    },
    show(region, callingCode) {
      present = region;
      code.textContent = callingCode && `+${callingCode}`;
      if (!field.matches(":focus")) {
        close();
      }
    },
  };
};

export const enhanceNumber = (root) => {
  const input = root.querySelector("[data-pv-phone]");
  if (!input) {
    return;
  }
  const { pvPhone: local, pvFirst: likely, pvCode, pvCountries: country, pvFound: found, pvNone: none } = input.dataset;
  const live = root.querySelector("[data-pv-country]");
  const help = root.querySelector("[data-pv-example]");
  const say = (text) => live && (live.textContent = text);
  const language = input.closest("[lang]")?.lang || "en";
  const nameOf = regionNames(language);
  const metas = new Map();
  let regions = [];
  let present = "";
  let before = input.value;
  const rowOf = (region) => regions.find((row) => row[0] === region);

  const showExample = () => {
    const example = metas.get(present)?.example[present === local ? 0 : 1];
    if (example) {
      input.placeholder = example;
      help?.replaceChildren(example);
    }
  };

  // The metadata of a region comes when it is first met; then the number is written again with it.
  const setRegion = async (region, isTyped) => {
    if (region !== present) {
      present = region;
      const code = rowOf(region)?.[1] ?? "";
      list?.show(region, code);
      showExample();
      if (isTyped) {
        say(region && `${nameOf(region)} +${code}`);
      }
    }
    if (region && !metas.has(region)) {
      metas.set(region, null);
      metas.set(region, await load(`regions/${region}.json`));
      showExample();
      format();
    }
  };

  // A number in ASCII digits: its calling code if it is in international form, and the rest.
  const parsed = (text, isNew) => {
    const cut = text.replace(/^.*tel:/i, "").replaceAll("\uff0b", "+");
    if (OTHER.test(cut)) {
      return null;
    }
    const all = ascii(kept(cut));
    let digits = all.slice(all.lastIndexOf("+") + 1);
    let abroad = digits !== all;
    const codeOf = () => regions.find((row) => digits.startsWith(row[1]))?.[1];
    if (!abroad && /^00[1-9]/.test(digits)) {
      digits = digits.slice(2);
      abroad = true;
    }
    // Where no national form is read, a new number begins with the calling code of the country.
    const own = !abroad && isNew && digits && present !== local && rowOf(present)?.[1];
    if (own) {
      const { length = 15, trunk = "" } = metas.get(present) ?? {};
      digits = digits.length > length + trunk.length && codeOf() ? digits : own + digits;
      abroad = true;
    }
    const code = abroad && codeOf();
    if (!code) {
      return { digits, abroad };
    }
    digits = digits.slice(code.length);
    if (/^00[1-9]/.test(digits)) {
      return parsed(`+${digits.slice(2)}`); // Pasted after the calling code.
    }
    const region = regionOf(digits, code, regions, present, metas.get(present)?.length ?? 15);
    const { trunk, length } = metas.get(region) ?? {};
    for (const prefix of [trunk, code]) {
      if (prefix && digits.startsWith(prefix) && (prefix === "0" || digits.length > length)) {
        digits = digits.slice(prefix.length);
      }
    }
    return { digits, abroad, code, region };
  };

  // Write a text over the present one as if it was typed, so that undo works. Nothing is written into a composition:
  // the input method would write its text once more.
  let isWriting = false;
  const write = (text) => {
    isWriting = true;
    if (input.matches(":focus")) {
      input.select();
      document.execCommand("insertText", false, text);
    }
    if (input.value !== text) {
      input.value = text;
    }
    isWriting = false;
    before = text;
  };

  function format(isNew = false, isTyped = false) {
    if (isWriting) {
      return;
    }
    before = input.value;
    const number = parsed(before, isNew);
    if (!number) {
      return;
    }
    const { digits, abroad, code, region } = number;
    if (abroad && (code || digits.length > 2)) {
      setRegion(region ?? "", isTyped);
    } else if (!abroad && digits && local) {
      setRegion(local, isTyped);
    }
    let text = abroad && !code ? `+${digits}` : written(digits, code, metas.get(region ?? present));
    if (!digits && !isNew && !/\s$/.test(before)) {
      text = text.trimEnd();
    }
    // The digits stay in the script in which they were typed; some of the first ones may be left out, or be new.
    const typed = [...kept(before)];
    const asTyped = (digit) => {
      while (typed.length && ascii(typed.at(-1)) !== digit) {
        typed.pop();
      }
      return typed.pop() ?? digit;
    };
    text = [...text].reduceRight((end, each) => (/\d/.test(each) ? asTyped(each) : each) + end, "");
    if (text !== before) {
      const after = kept(before.slice(input.selectionEnd)).length;
      write(text);
      let caret = text.length;
      while (after && caret && kept(text.slice(caret - 1)).length <= after) {
        caret -= 1;
      }
      input.setSelectionRange(caret, caret);
    }
  }

  // With a separator the digit next to it is deleted.
  const deleteDigit = (isForward) => {
    const characters = [...kept(input.value)];
    const at = kept(input.value.slice(0, input.selectionStart)).length - (isForward ? 0 : 1);
    if (characters[at]) {
      characters.splice(at, 1);
      write(characters.join(""));
      input.setSelectionRange(at, at);
    }
  };

  input.addEventListener("input", ({ inputType: type = "" }) => {
    if (isWriting) {
      return;
    }
    const last = before;
    before = input.value;
    if (type.startsWith("history")) {
      return;
    }
    if (/^deleteContent/.test(type) && last.length === before.length + 1 && kept(last) === kept(before)) {
      deleteDigit(type === "deleteContentForward");
    }
    format(!last && !type.startsWith("delete"), true);
  });
  input.addEventListener("compositionstart", () => (isWriting = true));
  input.addEventListener("compositionend", () => {
    isWriting = false;
    format(!before, true);
  });

  const choose = (region) => {
    const number = parsed(input.value);
    setRegion(region);
    input.focus();
    if (number) {
      const { digits, abroad, code } = number;
      const { trunk = "" } = metas.get(local) ?? {};
      const rest = abroad ? (code ? digits : "") : digits.slice(digits.startsWith(trunk) ? trunk.length : 0);
      write(region === local && !rest ? "" : `+${rowOf(region)[1]} ${rest}`);
      format();
    }
    input.setSelectionRange(input.value.length, input.value.length);
  };

  const list = country && countryList(input, language, { country, found, none }, say, choose);
  list?.show(likely, pvCode);
  load("regions.json").then((listed) => {
    regions = listed ?? [];
    const first = [local, new Intl.Locale(navigator.language).region, likely, regions[0]?.[0]].find(rowOf);
    if (first) {
      setRegion(first);
      format();
    }
    list?.offer(regions);
    if (list && regions.length > 1) {
      // The list says what the text about calling codes says.
      root.querySelectorAll("[data-pv-plain]").forEach((text) => (text.textContent = text.dataset.pvPlain));
    }
  });
};
