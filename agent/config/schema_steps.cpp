// The keys of steps that shape records, send them elsewhere or thin them out.
#include "agent/config/schema.h"

namespace rivulet::config::schema {
namespace {

using namespace keys;

constexpr Setting state_name() { return label("name", "its state's; absent: the step's kind, if there is one of it in the pipeline"); }
constexpr Setting by() { return expression("by", "whose records are looked at together; absent: those of the record's key"); }
constexpr Setting scope() { return word("scope", "key | all", "each key on its own, or all records together").else_("key"); }

constexpr Setting kFlatten[] = {
    text("separator", "between the names, as in outer_inner").else_("_"),
    integer("depth", 1, 128, "so many levels are taken apart, what is deeper stays JSON; absent: all"),
    integer("max_fields", 1, 4096, "a record that would have more goes to quarantine").else_("1000"),
    text("explode", "a field with a list: a record for each of its elements, which takes the list's place"),
};
constexpr Setting kEnrich[] = {
    expression("by", "the key of the table's row; absent: the record's key"),
    text("table", "the fields that a key gives").by_row().needed(),
    text("default", "the fields of a key that the table does not have; absent: nulls").by_name(),
};
constexpr Setting kClamp[] = {
    duration("future", 0, kYears, "timestamps further ahead of the clock than this are set").needed(),
    word("to", "now | limit", "the clock's time, or as far ahead as is allowed").else_("now"),
};
constexpr Setting kRoute[] = {
    label("name", "its streams'; absent: route, if there is one of it in the pipeline"),
    map("cases", route_case, "conditions and where their records go; those that no case takes go on through the pipeline").listed().needed(),
    topic("else", "where records go that no case takes, instead of on").or_map(output),
    word("match", "first | all", "the first case that holds, or each").else_("first"),
};
constexpr Setting kRouteCase[] = {
    expression("when", "records for which it holds").needed(),
    topic("to", "a topic").or_map(output).needed(),
};
constexpr Setting kSample[] = {
    state_name(),
    integer("every", 1, 1'000'000'000, "the first of so many records").one_of(),
    duration("interval", 1, kYears, "records that are at least so far apart in event time").one_of(),
    by(),
    scope(),
};
constexpr Setting kDedupe[] = {
    state_name(),
    expression("by", "what two records have in common when one is a duplicate; null: none is").needed(),
    duration("within", 1, kYears, "how far apart their timestamps are at most, and how long, in stream time, a record is remembered").needed(),
};
constexpr Setting kDeadband[] = {
    state_name(),
    text("field", "whose value it is about").needed(),
    amount("absolute", "a record passes when the value is further than this from the last one that passed").one_of(),
    amount("percent", "or further than so many percent of it").one_of(),
    duration("max_silence", 1, kYears, "after so much stream time the latest record passes whatever it says; absent: never"),
    by(),
    scope(),
};
constexpr Setting kRateLimit[] = {
    state_name(),
    integer("max", 1, 1'000'000'000, "so many records pass in an interval").needed(),
    duration("per", 1, kYears, "how long an interval of stream time is").needed(),
    word("excess", "drop | thin", "the rest is left out; or all but the last, which passes when the interval is over").else_("drop"),
    by(),
    scope(),
};

}  // namespace

constinit const Section flatten{kFlatten}, enrich{kEnrich}, clamp{kClamp}, route{kRoute}, route_case{kRouteCase};
constinit const Section sample{kSample}, dedupe{kDedupe}, deadband{kDeadband}, rate_limit{kRateLimit};

}  // namespace rivulet::config::schema
