/** A function of one object that computes what it gives once for each. */
export function memoized<A extends object, R>(of: (given: A) => R): (given: A) => R {
  const known = new WeakMap<A, R>();
  return (given) => {
    if (!known.has(given)) known.set(given, of(given));
    return known.get(given) as R;
  };
}
