// The keys outside sources and pipelines.
#include "agent/config/schema.h"

namespace rivulet::config {

const Setting* Section::find(std::string_view name) const {
  for (const Setting& key : settings)
    if (key.name == name) return &key;
  return nullptr;
}

namespace schema {
namespace {

using namespace keys;

constexpr Setting kRoot[] = {
    map("agent", agent, "this gateway"),
    map("kafka", kafka, "the cluster; without it records are stored and not forwarded"),
    map("status", status, "the status listener; absent: off"),
    map("log", log, "what is logged"),
    text("extensions", "SQLite extensions (shared libraries): their scalar functions are there in expressions. Native code, trusted; the same arguments must give the same result").listed(),
    map("sources", source, "where records come from").by_name(),
    map("tables", table, "lookup tables for joins").by_name(),
    map("pipelines", pipeline, "what becomes of records").by_name(),
};

constexpr Setting kAgent[] = {
    label("id", "names this gateway in Kafka: transactional id, progress record, `rv` header; absent: what /etc/machine-id says"),
    text("state", "folder of the store").else_("/var/lib/rivulet"),
    duration("commit_interval", 1, kMinute, "an epoch commits at least so often; for a source that cannot replay, what a crash can lose").else_("1s"),
    size("memory", 4 * kMiB, 4 * kGiB, "bounds what is in flight; above 64MiB the unit's MemoryMax=256M is too little (drop-ins/memory.conf)").else_("16MiB"),
    boolean("restore", "an empty state folder is filled from the changelogs at the first start (else by `rivulet restore`)").else_("false"),
    word("compression", "zstd | lz4 | none", "of stored packs").else_("zstd"),
    map("storage", storage, "the store on disk"),
};
constexpr Setting kStorage[] = {
    size("max", 16 * kMiB, 1ULL << 44, "of the store on disk").else_("1GiB"),
    word("when_full", "refuse | drop-oldest", "acknowledge nothing, or let gap records stand for the oldest").else_("refuse"),
};

constexpr Setting kKafka[] = {
    text("brokers", "addresses host:port; without a port 9092").listed().needed(),
    word("delivery", "exactly-once | at-least-once", "in transactions, or by an idempotent producer without them").else_("exactly-once"),
    boolean("headers", "the `rv` header on each record; `rivulet verify` needs it").else_("true"),
    topic("progress_topic", "the compacted topic of the witnesses").else_("rivulet-progress"),
    map("transaction", transaction, "Kafka's transactions"),
    boolean("tls", "`true`: with the system's authorities").or_map(tls),
    map("sasl", sasl, "the login"),
    of(Type::text, "librdkafka", "further librdkafka settings; those that exactly-once rests on are refused").by_name(),
};
constexpr Setting kTransaction[] = {
    duration("interval", 1, kMinute, "one so often at most").else_("1s"),
    size("max", 64 * kKiB, kGiB, "its records' bytes; never more than twice agent.memory").else_("32MiB"),
    duration("timeout", kSecond, 15 * kMinute, "after which Kafka aborts it; at least twice the interval").else_("60s"),
};
constexpr Setting kTls[] = {
    text("ca", "path of the authorities' certificates; absent: the system's"),
    text("certificate", "path of the own certificate"),
    text("key", "path of its key"),
    boolean("verify", "the other side's certificate and name").else_("true"),
};
constexpr Setting kSasl[] = {
    word("mechanism", "PLAIN | SCRAM-SHA-256 | SCRAM-SHA-512", "SCRAM and Kafka 4.0 or newer need librdkafka 2.6.1: Debian 13 has it, Debian 12 does not (`check` warns; there take PLAIN with `kafka.tls`)").needed(),
    text("username", "the login's name").needed(),
    secret("password", "the login's password, best as \"${file:PATH}\"").needed(),
};

constexpr Setting kStatus[] = {
    text("listen", "`127.0.0.1:8686` or `unix:/path`: /metrics, /healthz, /status").needed(),
};
constexpr Setting kLog[] = {
    word("level", "trace | debug | info | warning | error", "what is logged from").else_("info"),
};

constexpr Setting kTable[] = {
    map("file", table_file, "rows of a file, loaded anew when it has changed; at most 256MiB").one_of(),
    map("sqlite", table_sqlite, "looked up in somebody's database").one_of(),
};
constexpr Setting kTableFile[] = {
    text("path", ".csv with a line of names, .json (an array of objects) or .jsonl").needed(),
    text("key", "the field that is a row's key").needed(),
};
constexpr Setting kTableSqlite[] = {
    text("path", "the database; one in WAL mode can be read only while its owner has it open, or where its `-shm` file may be made").needed(),
    text("query", "a SELECT that gives the rows").needed(),
    text("key", "the column of it that is a row's key, with an index").needed(),
};

}  // namespace

constinit const Section root{kRoot}, agent{kAgent}, storage{kStorage}, kafka{kKafka}, transaction{kTransaction}, tls{kTls}, sasl{kSasl}, status{kStatus}, log{kLog};
constinit const Section table{kTable}, table_file{kTableFile}, table_sqlite{kTableSqlite};

}  // namespace schema
}  // namespace rivulet::config
