/** Gives out names of types, each once. */
export class TypeNames {
  readonly #taken: Set<string>;

  constructor(reserved: string[]) {
    this.#taken = new Set(reserved);
  }

  /** A name made of texts, with a number behind it when it is taken: `ErpOrder`, `ErpOrder2`. */
  take(...texts: string[]): string {
    const wanted = identifier(texts);
    let name = wanted;
    for (let number = 2; this.#taken.has(name); number += 1) name = `${wanted}${number}`;
    this.#taken.add(name);
    return name;
  }
}

/** `ERP`, `ORDER_CREATED` is `ErpOrderCreated`; letters of any script may stand in it. */
function identifier(texts: string[]): string {
  const words = texts.flatMap((text) => text.split(/[^\p{L}\p{Nl}\p{Nd}\p{Mn}\p{Mc}]+/u)).filter((word) => word !== '');
  const name = words.map(capitalised).join('');
  return /^[\p{L}\p{Nl}]/u.test(name) ? name : `Event${name}`;
}

function capitalised(word: string): string {
  const [first = '', ...rest] = [...word];
  const tail = rest.join('');
  // A word all in capitals is a constant's; another keeps the capitals inside.
  const isConstant = word === word.toUpperCase() && word !== word.toLowerCase();
  return first.toUpperCase() + (isConstant ? tail.toLowerCase() : tail);
}
