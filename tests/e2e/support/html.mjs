/** As much of HTML as the pages of the Worker and of the local AuthKit need: their forms. */

/** @type {Record<string, string>} */
const ENTITIES = { amp: '&', lt: '<', gt: '>', quot: '"', '#39': "'" };

/** @param {string} text */
function unescaped(text) {
  return text.replace(/&(amp|lt|gt|quot|#39);/g, (_, name) => ENTITIES[name]);
}

/** @param {string} tag its text between name and end @returns {Record<string, string>} */
function attributesOf(tag) {
  return Object.fromEntries(
    [...tag.matchAll(/([\w-]+)(?:="([^"]*)")?/g)].map(([, name, value]) => [name, unescaped(value ?? '')]),
  );
}

/**
 * @param {string} html
 * @returns {{ method: string, action?: string, fields: Record<string, string>, buttons: { name?: string, value?: string, text: string }[] }[]}
 */
export function formsOf(html) {
  return [...html.matchAll(/<form\b([^>]*)>(.*?)<\/form>/gs)].map(([, tag, content]) => {
    const { method = 'get', action } = attributesOf(tag);
    const inputs = [...content.matchAll(/<input\b([^>]*)>/g)].map(([, input]) => attributesOf(input));
    return {
      method: method.toLowerCase(),
      action,
      fields: Object.fromEntries(inputs.filter(({ name }) => name).map(({ name, value = '' }) => [name, value])),
      buttons: [...content.matchAll(/<button\b([^>]*)>(.*?)<\/button>/gs)].map(([, button, text]) => ({
        ...attributesOf(button),
        text: unescaped(text.replace(/<[^>]*>/g, ' ')),
      })),
    };
  });
}
