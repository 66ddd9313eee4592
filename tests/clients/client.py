"""What the official Python client does with a server: python client.py http://HOST:PORT.

Runs with versions 7 and 8 of the package "elasticsearch"; prints "ok" at the end.
"""

import sys

import elasticsearch
from elasticsearch import Elasticsearch, helpers

MAJOR = elasticsearch.__version__[0]
INDEX = f"client-py-{MAJOR}"
es = Elasticsearch(sys.argv[1])


def search(**body):
    """Version 7 takes a search as one body, version 8 each part by its name."""
    return es.search(index=INDEX, body=body) if MAJOR == 7 else es.search(index=INDEX, **body)


def refused(error, call):
    """The class of errors that a call raises, and its status."""
    try:
        call()
    except error as raised:
        return getattr(raised, "status_code", None) or raised.meta.status
    raise AssertionError(f"{error} was not raised")


assert es.info()["version"]["number"].count(".") == 2
assert es.ping()
assert es.cluster.health()["status"] in ("green", "yellow")

es.indices.delete(index=INDEX, ignore_unavailable=True)
mappings = {"properties": {"level": {"type": "keyword"}, "n": {"type": "long"}, "@timestamp": {"type": "date"}}}
if MAJOR == 7:
    es.indices.create(index=INDEX, body={"mappings": mappings})
else:
    es.indices.create(index=INDEX, mappings=mappings)
assert es.indices.exists(index=INDEX)
assert es.indices.get_mapping(index=INDEX)[INDEX]["mappings"]["properties"]["level"]["type"] == "keyword"

lines = (
    {
        "_index": INDEX,
        "_id": str(n),
        "@timestamp": f"2026-03-01T10:{n // 60 % 60:02}:{n % 60:02}Z",
        "level": "error" if n % 10 == 0 else "info",
        "n": n,
        "message": f"line {n}",
    }
    for n in range(1000)
)
stored, errors = helpers.bulk(es, lines, chunk_size=300, refresh=True)
assert (stored, errors) == (1000, []), (stored, errors)
_, errors = helpers.bulk(
    es, [{"_op_type": "create", "_index": INDEX, "_id": "1", "n": 0}], raise_on_error=False
)
assert errors[0]["create"]["status"] == 409, errors
try:
    helpers.bulk(es, [{"_index": INDEX, "_id": "x", "n": {"not": "a number"}}])
    raise AssertionError("no BulkIndexError")
except helpers.BulkIndexError as error:
    assert error.errors[0]["index"]["error"]["type"] in ("mapper_parsing_exception", "document_parsing_exception")

found = search(query={"term": {"level": "error"}}, size=3, sort=[{"n": "desc"}], track_total_hits=True)
assert found["hits"]["total"]["value"] == 100
assert [hit["_source"]["n"] for hit in found["hits"]["hits"]] == [990, 980, 970]
found = search(
    size=0,
    aggs={
        "t": {
            "date_histogram": {"field": "@timestamp", "fixed_interval": "1m"},
            "aggs": {"l": {"terms": {"field": "level"}}, "m": {"max": {"field": "n"}}},
        }
    },
)
buckets = found["aggregations"]["t"]["buckets"]
assert len(buckets) == 17 and buckets[0]["m"]["value"] == 59, buckets[:2]

seen = [hit["_source"]["n"] for hit in helpers.scan(es, index=INDEX, size=170, scroll="1m")]
assert sorted(seen) == list(range(1000)), len(seen)

if MAJOR == 8 and len(sys.argv) > 2:
    pit, after, seen = es.open_point_in_time(index=INDEX, keep_alive="1m")["id"], None, []
    while True:
        more = {"search_after": after} if after else {}
        page = es.search(pit={"id": pit, "keep_alive": "1m"}, size=400, sort=[{"n": "asc"}], **more)
        hits = page["hits"]["hits"]
        if not hits:
            break
        pit, after = page.get("pit_id", pit), hits[-1]["sort"]
        seen += [hit["_source"]["n"] for hit in hits]
    assert seen == list(range(1000)), len(seen)
    assert es.close_point_in_time(id=pit)["num_freed"] == 1

assert es.get(index=INDEX, id="7")["_source"]["n"] == 7
assert es.count(index=INDEX)["count"] == 1000
assert es.exists(index=INDEX, id="7") and not es.exists(index=INDEX, id="none")
if MAJOR == 7:
    es.update(index=INDEX, id="7", body={"doc": {"level": "warn"}}, refresh=True)
    assert es.mget(index=INDEX, body={"ids": ["7", "none"]})["docs"][0]["_source"]["level"] == "warn"
else:
    es.update(index=INDEX, id="7", doc={"level": "warn"}, refresh=True)
    assert es.mget(index=INDEX, ids=["7", "none"])["docs"][0]["_source"]["level"] == "warn"
assert es.delete(index=INDEX, id="7")["result"] == "deleted"

assert refused(elasticsearch.NotFoundError, lambda: es.get(index=INDEX, id="none")) == 404
assert refused(elasticsearch.NotFoundError, lambda: es.indices.get(index="client-none")) == 404
wrong = elasticsearch.RequestError if MAJOR == 7 else elasticsearch.BadRequestError
assert refused(wrong, lambda: search(query={"trem": {}})) == 400
assert refused(elasticsearch.ConflictError, lambda: es.index(index=INDEX, id="1", op_type="create", body={"n": 1}) if MAJOR == 7 else es.create(index=INDEX, id="1", document={"n": 1})) == 409
es.indices.delete(index=INDEX)
print("ok")
