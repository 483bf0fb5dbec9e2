// The number field: groups the number as people of its country do, and names the country.
import { ascii, isDigit } from "./digits.js";

// Calling codes with their regions and the groups of a mobile number (`98IR334`: +98 912 345 6789), and longer
// prefixes of other regions. From the metadata of phonenumbers; tests/test_templates.py compares.
const PLANS =
  "1USCA334,1242BS,1246BB,1264AI,1268AG,1284VG,1340VI,1345KY,1441BM,1473GD,1649TC,1658JM,1664MS,1670MP," +
  "1671GU,1684AS,1721SX,1758LC,1767DM,1784VC,1787PR,18001DO,1809DO,1829DO,1849DO,1868TT,1869KN,1876JM," +
  "1939PR,20EG28,211SS333,212MA12222,213DZ3222,216TN233,218LY27,220GM34,221SN2322,222MR2222,223ML2222," +
  "224GN3222,225CI2224,226BF2222,227NE2222,228TG2222,229BJ22222,230MU44,231LR234,232SL26,233GH234," +
  "234NG334,235TD2222,236CF2222,237CM12222,238CV322,239ST34,240GQ333,241GA2222,242CG234,243CD333," +
  "244AO333,245GW333,246IO34,247AC5,248SC133,249SD234,250RW333,251ET234,252SO17,253DJ2222,254KE36," +
  "255TZ333,256UG36,257BI2222,258MZ234,260ZM27,261MG2232,262RE3222,263ZW234,264NA234,265MW3222,266LS44," +
  "267BW233,268SZ44,269KM322,27ZA234,290SH5,2908TA,291ER133,297AW34,298FO222,299GL222,30GR334,31NL18," +
  "32BE3222,33FR12222,34ES3222,350GI8,351PT333,352LU333,353IE234,354IS34,355AL234,356MT44,357CY26," +
  "358FI27,35818AX,359BG233,36HU234,370LT35,371LV233,372EE44,373MD323,374AM26,375BY2322,376AD33," +
  "377MC12222,378SM2222,380UA234,381RS27,382ME233,383XK233,385HR234,386SI233,387BA233,389MK233,39IT334," +
  "40RO333,41CH2322,420CZ333,421SK333,423LI333,43AT36,44GB46,441624IM,447524IM,447624IM,45DK2222," +
  "46SE2322,47NO2222,4779SJ,48PL333,49DE47,500FK5,501BZ34,502GT44,503SV44,504HN44,505NI44,506CR44," +
  "507PA44,508PM222,509HT224,51PE333,52MX334,53CU17,54AR1244,55BR254,56CL144,57CO37,58VE37,590GP3222," +
  "591BO8,592GY34,593EC234,594GF3222,595PY36,596MQ3222,597SR34,598UY233,599CW134,5993BQ,5994BQ,5997BQ," +
  "60MY234,61AU333,62ID333,63PH334,64NZ234,65SG44,66TH234,670TL44,672NF15,673BN34,674NR34,675PG44," +
  "676TO34,677SB25,678VU34,679FJ34,680PW34,681WF222,682CK23,683NU34,685WS25,686KI8,687NC222,688TV24," +
  "689PF2222,690TK4,691FM34,692MH34,7RU3322,77KZ,81JP244,82KR244,84VN333,850KP334,852HK44,853MO44," +
  "855KH233,856LA2233,86CN344,880BD46,886TW333,90TR3322,91IN55,92PK37,93AF234,94LK234,95MM134,960MV34," +
  "961LB233,962JO144,963SY333,964IQ334,965KW35,966SA234,967YE333,968OM44,970PS333,971AE234,972IL234," +
  "973BH44,974QA44,975BT2222,976MN44,977NP37,98IR334,992TJ234,993TM26,994AZ2322,995GE3222,996KG333," +
  "998UZ2322";
export const enhanceNumber = (root) => {
  const phone = root.querySelector("[data-pv-phone]");
  if (!phone) {
    return;
  }
  const country = root.querySelector("[data-pv-country]");
  const names = Intl.DisplayNames && new Intl.DisplayNames([phone.closest("[lang]")?.lang || "en"], { type: "region" });
  const plans = PLANS.split(",").map((plan) => /(\d+)([A-Z]+)(\d*)/.exec(plan));
  const sum = (groups) => groups.reduce((total, group) => total + group, 0);
  const example = phone.placeholder.match(/\d+/g) ?? [];
  const national = phone.dataset.pvPhone ? example.map((group) => group.length) : [];
  const own = plans.find((plan) => plan[3] && plan[2].startsWith(phone.dataset.pvPhone));
  const trunk = sum(national) > sum([...own[3]].map(Number)) ? example[0][0] : "";
  // The longest prefix names the country; its groups are those of the calling code if it has none of its own.
  const planOf = (typed) => {
    const fitting = plans.filter((plan) => typed.startsWith(plan[1])).sort((a, b) => b[1].length - a[1].length);
    const code = fitting.find((plan) => plan[3]);
    return fitting.length ? { regions: fitting[0][2], groups: [code[1].length, ...[...code[3]].map(Number)] } : null;
  };
  const grouping = (typed) => {
    if (typed.startsWith("+")) {
      const plan = planOf(typed.slice(1));
      return plan ? [plan.groups[0] + 1, ...plan.groups.slice(1)] : [];
    }
    // In national form, without the leading 0 or 8 of the example if it was not typed.
    return trunk && typed[0] !== trunk ? [national[0] - 1, ...national.slice(1)] : national;
  };
  const grouped = (characters, groups) => {
    let text = "";
    let left = groups.length ? groups[0] : Infinity;
    let group = 0;
    for (const character of characters) {
      if (left === 0 && group < groups.length - 1) {
        group += 1;
        left = groups[group];
        text += " ";
      }
      text += character;
      left -= 1;
    }
    return text;
  };
  const format = () => {
    const isKept = (character) => isDigit(character) || character === "+";
    if (/[^\p{Nd}+\s().\-\u2010-\u2015\u200e\u200f]/u.test(phone.value)) {
      country.textContent = ""; // Not a number alone: left as it is.
      return;
    }
    const typed = ascii([...phone.value].filter(isKept).join(""));
    const atEnd = phone.selectionStart === phone.value.length;
    const before = [...phone.value.slice(0, phone.selectionStart)].filter(isKept).length;
    const text = grouped([...phone.value].filter(isKept), grouping(typed));
    if (text !== phone.value) {
      phone.value = text;
      let caret = 0;
      for (let kept = 0; kept < before; caret += 1) {
        kept += isKept(text[caret]) ? 1 : 0;
      }
      if (phone.getRootNode().activeElement === phone) {
        phone.setSelectionRange(atEnd ? text.length : caret, atEnd ? text.length : caret);
      }
    }
    const regions = typed.startsWith("+") ? planOf(typed.slice(1))?.regions : typed && phone.dataset.pvPhone;
    const named = (regions || "").match(/../g)?.map((region) => names?.of(region)).join(", ") ?? "";
    if (country.textContent !== named) {
      country.textContent = named;
    }
  };
  phone.addEventListener("input", (event) => event.isComposing || format());
  format();
};
