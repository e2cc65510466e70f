import { EventCenterClientError, InvalidOptionError, RefusedError, UnavailableError } from '../../src/errors.js';

type Errors = typeof import('../../src/errors.js');

/** The module once more, as an application has it that loads both the ESM and the CommonJS build. */
function anotherCopy(): Errors {
  let copy: Errors | null = null;
  jest.isolateModules(() => {
    copy = jest.requireActual('../../src/errors.js');
  });
  return copy!;
}

describe('errors', () => {
  it('are known by the classes of another copy of the package', () => {
    const other = anotherCopy();
    const refused = new other.RefusedError('NOT_OWNER', 'no', { status: 200 });
    expect(other.RefusedError).not.toBe(RefusedError);
    expect(refused instanceof RefusedError).toBe(true);
    expect(refused instanceof EventCenterClientError).toBe(true);
    expect(refused instanceof UnavailableError).toBe(false);
    expect(new UnavailableError('no', { status: null }) instanceof other.UnavailableError).toBe(true);
    expect(new InvalidOptionError('field', 'rule') instanceof other.RefusedError).toBe(false);
  });

  it('are not taken for a class that an application derives', () => {
    class OwnRefusal extends RefusedError {}
    expect(new RefusedError('A', 'b', { status: 200 }) instanceof OwnRefusal).toBe(false);
    expect(new OwnRefusal('A', 'b', { status: 200 }) instanceof OwnRefusal).toBe(true);
    expect(new OwnRefusal('A', 'b', { status: 200 }) instanceof RefusedError).toBe(true);
    expect(new Error('x') instanceof RefusedError).toBe(false);
    expect((null as unknown) instanceof RefusedError).toBe(false);
  });

  it('say what went wrong when they are printed, and keep their bookkeeping to themselves', () => {
    const error = new InvalidOptionError('uuid', 'expected a text');
    expect(String(error)).toBe('InvalidOptionError: uuid: expected a text');
    expect(Object.keys(error).sort()).toEqual(['code', 'field', 'name']);
  });
});
