// An element with its classes, which are its parts too: `input.large`. Attributes without a value are left out.
export const h = (kind, attributes, ...children) => {
  const [tag, ...classes] = kind.split(".");
  const names = classes.join(" ");
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries({ ...(names && { class: names, part: names }), ...attributes })) {
    // Some come from the API, which runs no script here.
    if ((value || value === "") && !/^on/i.test(name)) {
      node.setAttribute(name, value === true ? "" : value);
    }
  }
  node.append(...children.flat().filter(Boolean));
  return node;
};
