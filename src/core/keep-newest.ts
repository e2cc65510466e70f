/** Puts a value behind the others and, beyond `most`, drops the one that was put longest ago. */
export function keepNewest<Key, Value>(map: Map<Key, Value>, [key, value]: [Key, Value], most: number): void {
  map.delete(key);
  map.set(key, value);
  const [oldest] = map.keys();
  if (map.size > most && oldest !== undefined) map.delete(oldest);
}
