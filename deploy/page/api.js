// In: paths of the API on this page's own server. Out: parsed answers, and books with their cards. Guarantees that a
// 429 or 503 is tried again after the time the server names, and that each card is asked for once.

const KEY = 'nightshelf-api-key';
const TRIES = 4;

export class Problem extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

export function useKey(key) {
  sessionStorage.setItem(KEY, key);
  cards.clear();
}

function pause(seconds) {
  return new Promise((resolve) => { setTimeout(resolve, seconds * 1000); });
}

async function response(path) {
  const key = sessionStorage.getItem(KEY);
  try {
    return await fetch(path, { headers: key ? { 'X-Api-Key': key } : {} });
  } catch {
    throw new Problem(0, 'The server cannot be reached.');
  }
}

export async function ask(path) {
  for (let turn = 1; ; turn += 1) {
    const answer = await response(path);
    if ([429, 503].includes(answer.status) && turn < TRIES) {
      await pause(Number(answer.headers.get('Retry-After')) || 1);
    } else {
      const body = await answer.json().catch(() => ({}));
      if (!answer.ok) {
        throw new Problem(answer.status, body.detail || `The server answered ${answer.status}.`);
      }
      return body;
    }
  }
}

const cards = new Map();

function card(id) {
  if (!cards.has(id)) {
    const asked = ask(`/v1/books/${id}`);
    cards.set(id, asked);
    asked.catch(() => cards.delete(id));
  }
  return cards.get(id);
}

// A book whose card cannot be had is still a book of the list.
export function withCards(items) {
  return Promise.all(items.map(async (item) => {
    const known = await card(item.book_id).catch(() => null);
    return { title: `Book ${item.book_id}`, authors: [], year: null, genres: [], ...known, ...item };
  }));
}

// The source of a personal list is the engine that made it, whatever engines there are.
export const isPersonal = (source) => source !== 'popularity';

export const list = (reader) => ask(`/v1/users/${reader}/recommendations?limit=10`);
export const similar = (book) => ask(`/v1/books/${book}/similar?limit=5`);
export const popular = (genre) => ask(`/v1/popular?limit=10${genre ? `&tag=${encodeURIComponent(genre)}` : ''}`);

// Nobody says how many readers there are: one batch asks for numbers of several sizes and keeps those with a list of
// their own, so a rolled reader is one that is known.
export async function roll() {
  const numbers = new Set();
  for (const most of [30, 300, 3000, 12000, 50000]) {
    for (let count = 0; count < 6; count += 1) {
      numbers.add(1 + Math.floor(Math.random() * most));
    }
  }
  const asked = [...numbers].map((number) => `user_id=${number}`).join('&');
  const { results } = await ask(`/v1/recommendations?${asked}&limit=1`);
  const known = results.filter((result) => isPersonal(result.source));
  const chosen = (known.length ? known : results);
  return chosen[Math.floor(Math.random() * chosen.length)].user_id;
}
