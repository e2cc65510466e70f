/** Calls of the management API (protocol page, section 6), for scripts and examples. */

/** An answer that is not 2xx. `status` is null when there was none. */
export class ManagementError extends Error {
  constructor(message, { status = null, code = null, cause } = {}) {
    super(message, { cause });
    this.status = status;
    this.code = code;
  }
}

/** The API of one centre with one token. */
export class ManagementApi {
  #url;
  #token;

  constructor({ url, token }) {
    this.#url = `${url.replace(/\/+$/, '')}/api/v1`;
    this.#token = token;
  }

  /**
   * One call; a write with `version` is refused when the resource has another one by now.
   * @returns the answer's JSON, null for none. @throws ManagementError saying what the centre says.
   */
  async call(method, path, body, { version } = {}) {
    const answer = await this.#fetch(method, path, {
      method,
      headers: {
        authorization: `Bearer ${this.#token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(version === undefined ? {} : { 'if-match': `"${version}"` }),
      },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await answer.text();
    const content = parsed(text);
    if (answer.ok) return content ?? null;
    throw new ManagementError(`${method} ${path} answered ${answer.status}: ${reasonIn(content) ?? text}`, {
      status: answer.status,
      code: content?.code ?? null,
    });
  }

  /** All items of a list, page after page. */
  async all(path) {
    const items = [];
    for (let cursor = null; ;) {
      const page = await this.call('GET', withQuery(path, { limit: 500, ...(cursor === null ? {} : { cursor }) }));
      items.push(...page.items);
      cursor = page.nextCursor;
      if (cursor === null) return items;
    }
  }

  async #fetch(method, path, request) {
    try {
      return await fetch(this.#url + path, request);
    } catch (error) {
      const reason = error.cause?.message || error.cause?.code || error.message;
      throw new ManagementError(`${method} ${this.#url}${path} got no answer: ${reason}`, { cause: error });
    }
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The sentence of a problem document, with the fields that it names. */
function reasonIn(problem) {
  if (typeof problem !== 'object' || problem === null) return null;
  const fields = (problem.errors ?? []).map(({ path, message }) => `${path}: ${message}`);
  return fields.length > 0 ? fields.join('; ') : (problem.detail ?? problem.title ?? null);
}

function withQuery(path, parameters) {
  return `${path}${path.includes('?') ? '&' : '?'}${new URLSearchParams(parameters).toString()}`;
}
