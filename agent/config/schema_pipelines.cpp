// The keys of pipelines and their steps.
#include "agent/config/schema.h"

namespace rivulet::config::schema {
namespace {

using namespace keys;

constexpr Setting fields(std::string_view name, std::string_view meaning) { return expression(name, meaning).by_name(); }
constexpr Setting state_name() { return label("name", "its state's; absent: the step's kind, if there is one of it in the pipeline"); }

constexpr Setting kPipeline[] = {
    text("from", "a source, a pipeline, or a list").listed().needed(),
    topic("to", "where records go: a topic, a file, an MQTT server or stdout; of a list each gets all").or_map(output).listed(),
    map("steps", step, "in their order").listed(),
    map("time", time, "how stream time goes on"),
    topic("changelog", "a compacted topic that takes state, positions and sequence numbers in the transaction of the results; pipelines that share a source share it; needs exactly-once"),
};
constexpr Setting kTime[] = {
    word("scope", "stream | key", "the highest timestamp over all keys, or for each key").else_("stream"),
    duration("idle", 1, kYears, "without input for so long, stream time moves on with the clock").or_word("never").else_("never"),
    duration("future", kSecond, kYears, "timestamps further ahead of the clock are set aside").or_word("never").else_("1d"),
};

constexpr Setting kStep[] = {
    expression("where", "records for which it does not hold are left out").one_of(),
    fields("select", "the record becomes exactly these fields").one_of(),
    fields("set", "fields are set").one_of(),
    text("drop", "fields are taken away").listed().one_of(),
    text("rename", "fields get another name, old: new").by_name().one_of(),
    expression("key", "the record's key").one_of(),
    expression("timestamp", "event time in ms since 1970").one_of(),
    text("log", "the record is logged, under this message").or_map(log_step).one_of(),
    map("flatten", flatten, "values inside others become fields").one_of(),
    map("enrich", enrich, "fields by a key, from a table that stands here").one_of(),
    map("clamp", clamp, "timestamps ahead of the clock").one_of(),
    map("route", route, "records to topics, by what they say").one_of(),
    map("aggregate", aggregate, "counts, sums and more, by key and window").one_of(),
    map("suppress", suppress, "holds updates of the aggregate before it back").one_of(),
    map("table", table_step, "the last record of each key").one_of(),
    map("join", join, "with another stream or table").one_of(),
    map("absence", absence, "a key that is silent").one_of(),
    map("sample", sample, "some records of each key").one_of(),
    map("dedupe", dedupe, "records that came before are left out").one_of(),
    map("deadband", deadband, "records that say something new: report by exception").one_of(),
    map("rate_limit", rate_limit, "so many records in an interval at most").one_of(),
};
constexpr Setting kLogStep[] = {
    text("message", "what stands before the record"),
    word("level", "trace | debug | info | warning | error", "of the line").else_("info"),
};
constexpr Setting kAggregate[] = {
    state_name(),
    map("window", window, "absent: one result a key, for ever"),
    expression("by", "absent: the record's key"),
    fields("select", "the fields of the result, such as {mean: avg(temperature), n: count(*)}").needed(),
    expression("having", "results for which it does not hold are left out"),
    word("emit", "updates | every-change | closed", "once an epoch, at each record, or once when the window closes; absent: updates"),
    word("late", "drop", "records of closed windows: left out (absent, too), or to a topic").or_map(late),
};
constexpr Setting kWindow[] = {
    duration("tumbling", 1, kYears, "its size").one_of(),
    map("hopping", hopping, "windows that overlap").one_of(),
    duration("sliding", 0, kYears, "the greatest difference of two records in it").one_of(),
    duration("session", 1, kYears, "the gap that ends it").one_of(),
    duration("grace", 0, kYears, "how late records may be").else_("0s"),
};
constexpr Setting kHopping[] = {
    duration("size", 1, kYears, "how long a window is").needed(),
    duration("advance", 1, kYears, "how far apart windows begin; at most the size, and a record is in 10,000 windows at most").needed(),
};
constexpr Setting kLate[] = {
    topic("topic", "where late records go").needed(),
};
constexpr Setting kSuppress[] = {
    state_name(),
    word("until", "closed", "the last update, when its window closes").one_of(),
    duration("limit", 0, kYears, "one update a key so often at most").one_of(),
};
constexpr Setting kTableStep[] = {
    state_name(),
    duration("history", 0, kYears, "versions are kept for so long; absent: the last one"),
};
constexpr Setting kJoin[] = {
    state_name(),
    text("with", "a source, a pipeline or a table").needed(),
    word("kind", "inner | left | outer", "what becomes of records without a match").else_("inner"),
    map("within", within, "of two streams: how far apart two records may be"),
    duration("grace", 0, kYears, "with a table that has history: how late records may be"),
    expression("on", "the key of the table's row; absent: the record's key"),
    fields("select", "the fields of the result, from left.x and right.x; absent: {\"left\":...,\"right\":...}"),
    word("late", "drop", "late records of two streams: left out (absent, too), or to a topic").or_map(late),
};
constexpr Setting kWithin[] = {
    duration("before", -kYears, kYears, "the other record may be so much earlier"),
    duration("after", -kYears, kYears, "the other record may be so much later"),
    duration("grace", 0, kYears, "how late records may be").else_("0s"),
};
constexpr Setting kAbsence[] = {
    state_name(),
    duration("after", 1, kYears, "how long a key is silent before it is absent").needed(),
};

}  // namespace

constinit const Section pipeline{kPipeline}, time{kTime}, step{kStep}, log_step{kLogStep}, aggregate{kAggregate}, window{kWindow}, hopping{kHopping}, late{kLate};
constinit const Section suppress{kSuppress}, table_step{kTableStep}, join{kJoin}, within{kWithin}, absence{kAbsence};

}  // namespace rivulet::config::schema
