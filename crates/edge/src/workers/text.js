/** Unicode's forms of text. */

import { toInbox } from './isolate.js';

/** Writes the text in small letters to the inbox, in the form NFKD if wanted. @param {string} text @param {boolean} isDecomposed */
export function inSmallLetters(text, isDecomposed) {
  return toInbox((isDecomposed ? text.normalize('NFKD') : text).toLowerCase());
}
