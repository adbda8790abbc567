/** The page of the newest expenses, with this month, charts, the form that adds one, and the list. */

import { html } from 'hono/html';

/** @typedef {import('./expenses.mjs').ExpenseRow} ExpenseRow */
/** @typedef {{ label: string, total: number }} Bar */

/** Rows of the page. */
const ROWS = 25;
/** Most categories with a bar of their own. */
const BARS = 8;
/** Columns of the chart by month. */
const MONTHS = 12;
const ROW_EM = 2.75;
const COLUMN_EM = 17;

const money = new Intl.NumberFormat('en-US', { minimumFractionDigits: 2 });
const monthName = new Intl.DateTimeFormat('en-US', { month: 'long', year: 'numeric', timeZone: 'UTC' });
const dayName = new Intl.DateTimeFormat('en-US', { dateStyle: 'medium', timeZone: 'UTC' });

/** @param {string} email @param {ExpenseRow[]} expenses all that the charts count, the newest first */
export function page(email, expenses) {
  const currency = expenses[0]?.currency ?? 'USD';
  const counted = expenses.filter((expense) => expense.currency === currency);
  const categories = totals(counted, ({ category }) => category).sort((a, b) => b.total - a.total);
  const byMonth = new Map(totals(counted, ({ date }) => date.slice(0, 7)).map(({ label, total }) => [label, total]));
  const months = lastMonths().map((label) => ({ label, total: byMonth.get(label) ?? 0 }));
  const [last, current] = months.slice(-2);
  const next = expenses.length > ROWS ? btoa(expenses[ROWS - 1].id) : undefined;
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>Your expenses · Expenses</title>
        <link rel="stylesheet" href="/style.css" />
      </head>
      <body>
        <header class="top">
          <a class="brand" href="/">Expenses</a>
          <p>${email}</p>
          <form method="post" action="/logout"><button>Sign out</button></form>
        </header>
        <main id="main">
          <h1>Your expenses</h1>
          <section class="card">
            <h2>${nameOf(current.label)}</h2>
            <p class="total">${money.format(current.total)} ${currency}</p>
            <p class="muted">${money.format(last.total)} ${currency} in ${nameOf(last.label)}</p>
          </section>
          ${form(categories, currency)}
          <div class="columns">
            <section class="card">
              <h2>By category, ${currency}</h2>
              ${bars(categories.slice(0, BARS))} ${table('Category', categories)}
            </section>
            <section class="card">
              <h2>By month, ${currency}</h2>
              ${columns(months)} ${table('Month', months)}
            </section>
          </div>
          <section class="card list">
            <h2 id="list">All expenses</h2>
            <a class="download" href="/expenses.csv">Download CSV</a>
            ${filter(categories)}
            <table>
              <thead>
                <tr>
                  <th scope="col">Date</th>
                  <th scope="col">Description</th>
                  <th scope="col">Category</th>
                  <th scope="col" class="num">Amount</th>
                  <th scope="col"><span class="vh">Actions</span></th>
                </tr>
              </thead>
              <tbody>
                ${expenses.slice(0, ROWS).map(row)}
              </tbody>
            </table>
            ${next && html`<nav class="pages"><a rel="next" href="/expenses?cursor=${next}#list">Older</a></nav>`}
          </section>
        </main>
        <footer class="foot"><p><a href="/docs">API documentation</a></p></footer>
      </body>
    </html>`;
}

/** @param {ExpenseRow} expense @param {number} index */
function row({ id, date, description, category, amount, currency }, index) {
  return html`<tr>
    <td class="day"><time datetime="${date}">${dayName.format(new Date(date))}</time></td>
    <th class="what" scope="row" id="d${index}"><bdi>${description}</bdi></th>
    <td class="category"><bdi>${category}</bdi></td>
    <td class="num">${money.format(amount)} ${currency}</td>
    <td class="do">
      <a href="/expenses/${id}" id="e${index}" aria-labelledby="e${index} d${index}">Edit</a>
      <a class="danger" href="/expenses/${id}/delete" id="x${index}" aria-labelledby="x${index} d${index}">Delete</a>
    </td>
  </tr>`;
}

/** @param {Bar[]} categories @param {string} currency */
function form(categories, currency) {
  return html`<section class="card">
    <h2>Add an expense</h2>
    <form method="post" action="/expenses">
      <input type="hidden" name="idempotency_key" value="${crypto.randomUUID()}" />
      <label>Description <input name="description" required maxlength="200" /></label>
      <label>Amount <input name="amount" required inputmode="decimal" /></label>
      <label>Currency <input name="currency" value="${currency}" maxlength="3" /></label>
      <label>Category <input name="category" list="categories" maxlength="50" /></label>
      <datalist id="categories">${categories.map(({ label }) => html`<option value="${label}"></option>`)}</datalist>
      <label>Date <input type="date" name="date" value="${new Date().toISOString().slice(0, 10)}" /></label>
      <button>Add</button>
    </form>
  </section>`;
}

/** @param {Bar[]} categories */
function filter(categories) {
  return html`<form class="filter" method="get" action="/expenses">
    <label>From <input type="date" name="from" /></label>
    <label>To <input type="date" name="to" /></label>
    <label
      >Category
      <select name="category">
        <option value="">All</option>
        ${categories.map(({ label }) => html`<option value="${label}">${label}</option>`)}
      </select></label
    >
    <button>Filter</button>
  </form>`;
}

/** @param {Bar[]} rows */
function bars(rows) {
  const longest = Math.max(...rows.map(({ total }) => total));
  return html`<svg class="chart bars" width="100%" height="${rows.length * ROW_EM}em" role="img">
    ${rows.map(({ label, total }, index) => {
      const top = index * ROW_EM;
      return html`<g>
        <title>${label}: ${money.format(total)}</title>
        <svg y="${top}em" width="66%" height="1.5em"><text y="1.05em">${label}</text></svg>
        <text class="value" x="100%" y="${top + 1.05}em">${money.format(total)}</text>
        <rect class="track" y="${top + 1.5}em" width="100%" height=".7em" rx="3"></rect>
        <rect class="bar" y="${top + 1.5}em" width="${((total / longest) * 100).toFixed(2)}%" height=".7em" rx="3"></rect>
      </g>`;
    })}
  </svg>`;
}

/** @param {Bar[]} months */
function columns(months) {
  const highest = Math.max(1, ...months.map(({ total }) => total));
  const width = 100 / months.length;
  return html`<svg class="chart columns" width="100%" height="21.5em" role="img">
    <text class="note" y="1em">${money.format(highest)}</text>
    ${months.map(({ label, total }, index) => {
      const height = (total / highest) * COLUMN_EM;
      return html`<g>
        <title>${nameOf(label)}: ${money.format(total)}</title>
        <rect
          class="bar"
          x="${(index * width + width * 0.15).toFixed(2)}%"
          y="${(COLUMN_EM + 1.5 - height).toFixed(2)}em"
          width="${(width * 0.7).toFixed(2)}%"
          height="${height.toFixed(2)}em"
          rx="2"
        ></rect>
        <text class="tick" x="${((index + 0.5) * width).toFixed(2)}%" y="20em">${label.slice(5)}</text>
      </g>`;
    })}
  </svg>`;
}

/** @param {string} head @param {Bar[]} rows */
function table(head, rows) {
  const sum = rows.reduce((total, row) => total + row.total, 0);
  return html`<details>
    <summary>Show as table</summary>
    <table>
      <thead>
        <tr>
          <th scope="col">${head}</th>
          <th scope="col" class="num">Amount</th>
          <th scope="col" class="num">Share</th>
        </tr>
      </thead>
      <tbody>
        ${rows.map(
          ({ label, total }) => html`<tr>
            <th scope="row"><bdi>${label}</bdi></th>
            <td class="num">${money.format(total)}</td>
            <td class="num">${Math.round((total / sum) * 100)} %</td>
          </tr>`,
        )}
      </tbody>
    </table>
  </details>`;
}

/** @param {ExpenseRow[]} expenses @param {(expense: ExpenseRow) => string} labelOf @returns {Bar[]} */
function totals(expenses, labelOf) {
  /** @type {Map<string, number>} */
  const hundredths = new Map();
  for (const expense of expenses) {
    const label = labelOf(expense);
    hundredths.set(label, (hundredths.get(label) ?? 0) + Math.round(expense.amount * 100));
  }
  return [...hundredths].map(([label, total]) => ({ label, total: total / 100 }));
}

/** The last twelve months, the newest last: `2026-11`. */
function lastMonths() {
  const now = new Date();
  return Array.from({ length: MONTHS }, (_, index) =>
    new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - (MONTHS - 1 - index), 1)).toISOString().slice(0, 7),
  );
}

/** @param {string} month */
const nameOf = (month) => monthName.format(new Date(`${month}-01`));
