// In: the address after '#': reader/NUMBER, popular, popular/GENRE. Out: the list it stands for. Guarantees that every
// list has an address, that back and forward work, and that a late answer never replaces a newer one.
import { Problem, isPersonal, list, popular, roll, similar, useKey, withCards } from './api.js';

const find = (id) => document.getElementById(id);
const CLOTHS = 7;
const GREATEST_ID = 2147483647;

const REASONS = {
  unknown_user: 'Nobody here knows this reader yet, so these are the books that are read most.',
  short_history: 'This reader has rated too few books for a list of their own. These are the books that are read most.',
  store_unavailable: 'Lists cannot be looked up at the moment. These are the books that are read most.',
  catalogue_exhausted: 'This reader has rated every book here: nothing is left to recommend.',
  no_release: 'No release is live at the moment. These are the books that were read most.',
};

function element(name, className, ...children) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...children.filter((child) => child !== null));
  return made;
}

// 'Catching Fire (The Hunger Games, #2)' -> ['Catching Fire', 'The Hunger Games, #2']
function titleAndSeries(title) {
  const match = /^(.+?)\s*\(([^()]+#[^()]*)\)$/.exec(title);
  return match ? [match[1], match[2]] : [title, null];
}

const words = (genre) => genre.replaceAll('-', ' ');
const heading = (genre) => words(genre).replace(/^./, (letter) => letter.toUpperCase());

function describe(book) {
  const [title, series] = titleAndSeries(book.title);
  const by = [book.authors.slice(0, 3).join(', '), book.year === null ? '' : formatYear(book.year)].filter(Boolean);
  return element('div', 'book',
    element('p', 'title', title, series ? element('span', 'series', ` ${series}`) : null),
    by.length ? element('p', 'by', by.join(' · ')) : null,
    book.genres.length ? element('p', 'tags', book.genres.slice(0, 4).map(words).join(', ')) : null);
}

function formatYear(year) {
  return year < 0 ? `${-year} BC` : String(year);
}

function spine(book) {
  const made = element('span', `spine cloth${book.book_id % CLOTHS}`);
  made.setAttribute('aria-hidden', 'true');
  return made;
}

function entry(book) {
  const item = element('li', 'entry', spine(book), describe(book));
  const button = element('button', 'more', 'Similar books');
  const place = element('div', 'similar');
  place.id = `similar-${book.book_id}`;
  place.hidden = true;
  button.type = 'button';
  button.setAttribute('aria-expanded', 'false');
  button.setAttribute('aria-controls', place.id);
  button.setAttribute('aria-label', `Similar books to ${titleAndSeries(book.title)[0]}`);
  button.addEventListener('click', () => toggle(button, place, book));
  item.append(button, place);
  return item;
}

async function toggle(button, place, book) {
  const open = button.getAttribute('aria-expanded') !== 'true';
  button.setAttribute('aria-expanded', String(open));
  place.hidden = !open;
  if (!open || place.childElementCount) return;
  place.append(element('p', 'hint', 'Looking …'));
  try {
    const found = await withCards((await similar(book.book_id)).items);
    place.replaceChildren(element('ol', '', ...found.map((near) => element('li', '', spine(near), describe(near)))));
    say(`${found.length} books similar to ${titleAndSeries(book.title)[0]}`);
  } catch (problem) {
    place.replaceChildren(element('p', 'hint', problem.status === 404 ? 'Nothing is similar to this book.' : problem.message));
  }
}

function say(text) {
  find('status').textContent = text;
}

function showGenres(genres, current) {
  const links = [null, ...genres].map((genre) => {
    const link = element('a', '', genre === null ? 'All books' : words(genre));
    link.href = genre === null ? '#popular' : `#popular/${genre}`;
    if (genre === current) link.setAttribute('aria-current', 'page');
    return element('li', '', link);
  });
  const row = find('genres');
  row.replaceChildren(...links);
  const chosen = row.querySelector('[aria-current]');
  if (chosen) row.scrollLeft = chosen.offsetLeft - row.offsetLeft - 24;
}

function badge(source) {
  const kind = isPersonal(source) ? 'personal' : 'popular';
  return element('span', `badge ${kind}`, kind);
}

function showOrigin(answer) {
  const own = isPersonal(answer.source) ? 'Chosen from what this reader has rated.' : undefined;
  const why = answer.reason ? REASONS[answer.reason] ?? answer.reason : own;
  find('origin').replaceChildren(badge(answer.source), why ? ` ${why}` : ' What is read most, lately.');
  find('release').textContent = `Source ${answer.source}${answer.reason ? ` (${answer.reason})` : ''}, release ${answer.release}`;
}

let turn = 0;

async function show(title, asked, place) {
  turn += 1;
  const mine = turn;
  const main = find('list');
  find('heading').textContent = title;
  document.title = `${title} · Nightshelf`;
  main.setAttribute('aria-busy', 'true');
  try {
    const answer = await asked;
    const books = await withCards(answer.items);
    if (mine !== turn) return;
    showOrigin(answer);
    find('books').replaceChildren(...books.map(entry));
    say(`${title}: ${books.length} books`);
    if (answer.tags) showGenres(answer.tags, place);
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    if (mine === turn) showProblem(problem);
  }
  if (mine === turn) main.setAttribute('aria-busy', 'false');
}

function showProblem(problem) {
  find('key').hidden = problem.status !== 401;
  const again = element('button', 'more', 'Try again');
  again.addEventListener('click', route);
  find('origin').replaceChildren(element('span', 'problem', problem.message), ' ', again);
  find('books').replaceChildren();
  find('release').textContent = '';
  say(problem.message);
}

// A fragment that is not well formed, such as '#%', stands for nothing.
function fragment() {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return '';
  }
}

function route() {
  const [kind, name] = fragment().split('/');
  if (kind === 'list') return;
  const reader = find('reader');
  if (kind === 'reader' && /^[1-9][0-9]*$/.test(name || '')) {
    reader.value = name;
    show(`For reader ${name}`, list(name), undefined);
    // A reader's list names no genres: they are fetched once, and none is the current one.
    if (!find('genres').childElementCount) {
      popular(null).then((answer) => showGenres(answer.tags, undefined), () => {});
    } else {
      find('genres').querySelector('[aria-current]')?.removeAttribute('aria-current');
    }
  } else {
    const genre = kind === 'popular' && /^[a-z0-9-]+$/.test(name || '') ? name : null;
    reader.value = '';
    show(genre === null ? 'Popular' : heading(genre), popular(genre), genre);
  }
}

function complain(text) {
  find('reader-problem').textContent = text;
  find('reader').setAttribute('aria-invalid', String(text !== ''));
}

find('choose').addEventListener('submit', (event) => {
  event.preventDefault();
  const text = find('reader').value.trim();
  const number = Number(text);
  if (!/^[0-9]{1,10}$/.test(text) || number < 1 || number > GREATEST_ID) {
    complain('A reader has a whole number, from 1 on.');
    find('reader').focus();
    return;
  }
  complain('');
  if (location.hash === `#reader/${number}`) route();
  location.hash = `reader/${number}`;
});

find('roll').addEventListener('click', async () => {
  complain('');
  try {
    location.hash = `reader/${await roll()}`;
  } catch (problem) {
    showProblem(problem);
  }
});

find('key').addEventListener('submit', (event) => {
  event.preventDefault();
  useKey(find('api-key').value.trim());
  find('key').hidden = true;
  route();
});

window.addEventListener('hashchange', route);
route();
