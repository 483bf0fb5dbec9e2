// Decimal digits of any script: each script has ten of them in a row.
const valueOf = (digit) => {
  const point = digit.codePointAt(0);
  let value = 0;
  while (value < 9 && /\p{Nd}/u.test(String.fromCodePoint(point - value - 1))) {
    value += 1;
  }
  return String(value);
};

export const ascii = (text) => text.replace(/\p{Nd}/gu, valueOf);
