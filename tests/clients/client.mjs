// What the official JavaScript client does with a server: node client.mjs PACKAGE http://HOST:PORT.
//
// PACKAGE is the folder of version 7 or 8 of @elastic/elasticsearch; prints "ok" at the end.

import assert from "node:assert/strict";
import { createRequire } from "node:module";

const [folder, node] = process.argv.slice(2);
const require = createRequire(`${folder}/package.json`);
const { Client, errors } = require(folder);
const major = Number(require(`${folder}/package.json`).version.split(".")[0]);
const client = new Client({ node });
const index = `client-js-${major}`;
// Version 7 answers with the body beside its status, version 8 with the body alone.
const of = async (answer) => (major === 7 ? (await answer).body : await answer);

assert.match((await of(client.info())).version.number, /^\d+\.\d+\.\d+$/);
await client.indices.delete({ index, ignore_unavailable: true });
const mappings = { properties: { level: { type: "keyword" }, n: { type: "long" } } };
await client.indices.create(major === 7 ? { index, body: { mappings } } : { index, mappings });

const lines = Array.from({ length: 1000 }, (_, n) => ({
  "@timestamp": new Date(1772359200000 + n * 1000).toISOString(),
  level: n % 10 === 0 ? "error" : "info",
  n,
}));
const bulk = await client.helpers.bulk({
  datasource: lines,
  flushBytes: 20000,
  refreshOnCompletion: true,
  onDocument: (line) => ({ index: { _index: index, _id: String(line.n) } }),
});
assert.deepEqual([bulk.successful, bulk.failed], [1000, 0]);
const dropped = [];
const again = await client.helpers.bulk({
  datasource: [{ n: 1 }],
  onDocument: () => ({ create: { _index: index, _id: "1" } }),
  onDrop: (document) => dropped.push(document.status),
});
assert.deepEqual([again.failed, dropped], [1, [409]]);

const search = {
  size: 2,
  query: { term: { level: "error" } },
  sort: [{ n: "desc" }],
  aggs: { t: { date_histogram: { field: "@timestamp", fixed_interval: "1m" }, aggs: { m: { max: { field: "n" } } } } },
};
const found = await of(client.search(major === 7 ? { index, body: search } : { index, ...search }));
assert.equal(found.hits.total.value, 100);
assert.deepEqual(found.hits.hits.map((hit) => hit._source.n), [990, 980]);
assert.equal(found.aggregations.t.buckets[0].m.value, 50);

const all = major === 7 ? { index, body: { query: { match_all: {} } } } : { index, query: { match_all: {} } };
let seen = 0;
for await (const page of client.helpers.scrollSearch({ ...all, size: 170 })) seen += page.documents.length;
assert.equal(seen, 1000);
assert.equal((await client.helpers.search({ ...all, size: 5 })).length, 5);

await assert.rejects(of(client.get({ index, id: "none" })), (error) => error instanceof errors.ResponseError && error.statusCode === 404);
const wrong = { query: { trem: {} } };
await assert.rejects(of(client.search(major === 7 ? { index, body: wrong } : { index, ...wrong })), (error) => error.statusCode === 400);
await client.indices.delete({ index });
console.log("ok");
