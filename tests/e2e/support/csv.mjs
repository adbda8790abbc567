/** CSV as RFC 4180 has it, and no laxer: lines end in CR LF, quotes stand around a whole cell. */

/** A cell in quotes or a cell without, and what ends it. */
const CELL = /^(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/;

/**
 * @param {string} text
 * @returns {string[][]} the cells of each line
 */
export function parseCsv(text) {
  const rows = [];
  let row = [];
  for (let rest = text; rest !== ''; ) {
    const cell = CELL.exec(rest);
    if (!cell) throw new Error(`not CSV: ${JSON.stringify(rest.slice(0, 60))}`);
    const [whole, quoted, plain, end] = cell;
    row.push(quoted === undefined ? plain : quoted.replaceAll('""', '"'));
    rest = rest.slice(whole.length);
    if (end === ',') continue;
    rows.push(row);
    row = [];
  }
  if (row.length > 0) throw new Error('the last line has no end');
  return rows;
}
