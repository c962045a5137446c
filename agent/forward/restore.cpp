#include "agent/forward/restore.h"

#include <algorithm>
#include <map>
#include <thread>

#include "agent/base/fault_point.h"
#include "agent/forward/prepared.h"
#include "agent/forward/progress.h"

namespace rivulet::forward {
namespace {

constexpr std::int64_t call_ms = 2'000, pause_ms = 100;
constexpr std::size_t batch_bytes = 1 << 20;
constexpr std::int64_t tail_records = 10'000;  // read first when a header is looked for; then four times as many, and so on

std::string named(const kafka::TopicPartition& where) { return "topic " + where.topic + ", partition " + std::to_string(where.partition); }

class Restore {
 public:
  Restore(const RestoreOptions& options, store::Store& store, Uplink& uplink, const Clock& clock) : options_(options), store_(store), uplink_(uplink), clock_(clock) {}
  ~Restore() { uplink_.close(); }

  result<Restored> run() {
    if (auto done = find(); !done) return done.error();
    store::Rebuild begin;
    begin.begin = true;
    begin.facts.emplace_back(store::kRestoringFact, "1");
    if (auto done = store_.rebuild(std::move(begin)); !done) return done.error();
    auto done = fence();
    if (done) done = read();
    if (done) return restored_;
    // The agent was found, and the store is no longer as it was: what is missing now is not "Kafka has nothing of it".
    return Error{done.error().code == ErrorCode::not_found ? ErrorCode::unavailable : done.error().code, done.error().message};
  }

 private:
  // The same call until it succeeds: links and leaders come back.
  template <class Call>
  result<void> until_done(const std::string& what, const Call& call) {
    const auto deadline_ms = clock_.steady_ms() + options_.timeout_ms;
    for (;;) {
      const Failure failure = call();
      if (!failure) return {};
      const bool passing = failure.kind == FailureKind::pending || failure.kind == FailureKind::retry || failure.kind == FailureKind::link || failure.kind == FailureKind::timeout;
      if (!passing || clock_.steady_ms() >= deadline_ms) {
        const auto cause = passing ? uplink_.last_error() : Failure{};
        return Error{failure.kind == FailureKind::topic ? ErrorCode::not_found : ErrorCode::unavailable, "restore: " + what + ": " + (cause ? cause.message : failure.message)};
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(pause_ms));
    }
  }

  result<void> find() {
    if (auto done = until_done("kafka", [&] { const auto failure = uplink_.reachable(call_ms); return failure ? failure : uplink_.open(true); }); !done) return done;
    if (auto done = find_progress(); !done) return done;
    for (const auto& topic : options_.changelogs) {
      const auto at = predecessor_.changelogs.find(topic);
      if (at == predecessor_.changelogs.end())
        return Error{ErrorCode::not_found, "restore: agent " + options_.agent_id + " has never written a changelog " + topic + "; its state cannot come from there"};
      if (auto found = find_header({topic, at->second}); !found) return found.error();
    }
    return {};
  }

  // The last progress record of the agent. Its partition was chosen by the number of partitions at that time: if need be, all are read.
  result<void> find_progress() {
    std::int32_t partitions = 0;
    auto done = until_done("progress topic " + options_.progress_topic, [&] {
      const auto answer = uplink_.metadata(options_.progress_topic, call_ms);
      partitions = answer.metadata.partitions;
      return answer.failure;
    });
    if (!done) return done;
    const auto first = choose_partition(options_.agent_id, partitions);
    for (std::int32_t i = 0; i < partitions; ++i) {
      progress_ = {options_.progress_topic, i == 0 ? first : i <= first ? i - 1 : i};
      bool found = false;
      done = read_all(progress_, [&](const kafka::Fetched& record) -> result<void> {
        if (record.key != std::optional<std::string_view>(options_.agent_id) || !record.value) return {};
        if (auto seen = decode_progress(*record.value)) {
          for (const auto& [topic, partition] : predecessor_.changelogs) seen->changelogs.try_emplace(topic, partition);
          predecessor_ = std::move(*seen);
          found = true;
        }
        return {};
      });
      if (!done || found) return done;
    }
    return Error{ErrorCode::not_found, "restore: no agent " + options_.agent_id + " has ever forwarded to this cluster (nothing of it in " + options_.progress_topic +
                                           "); check agent.id and kafka.brokers, or start it as a new one"};
  }

  result<store::Generation> find_header(const kafka::TopicPartition& where) {
    kafka::Reader::Watermarks marks;
    if (auto done = until_done(named(where), [&] { return (marks = uplink_.committed_range(where, call_ms, [] { return false; })).failure; }); !done) return done.error();
    const auto key = store::changelog_key(options_.agent_id, store::ChangelogKind::header);
    for (auto span = tail_records;; span *= 4) {
      const auto from = std::max(marks.start, marks.end - span);
      std::optional<std::string> last;
      const auto done = read_range({where, from, marks.end}, [&](const kafka::Fetched& record) -> result<void> {
        if (record.key && *record.key == key && record.value) last = std::string(*record.value);
        return {};
      });
      if (!done) return done.error();
      if (!last && from > marks.start) continue;
      const auto value = last ? store::decode_changelog_value(*last) : std::nullopt;
      const auto header = value ? store::decode_header(value->body) : std::nullopt;
      if (!last) return Error{ErrorCode::not_found, "restore: " + named(where) + " has nothing of agent " + options_.agent_id + ": the topic was made anew, or its records deleted (it needs cleanup.policy=compact)"};
      if (!header) return Error{ErrorCode::corrupt, "restore: " + named(where) + ": the last header of agent " + options_.agent_id + " cannot be read; restore with the version that wrote it"};
      if (!header->complete)
        return Error{ErrorCode::conflict, "restore: changelog " + where.topic + " was being written anew when the device was lost, and is not complete: there is no whole state of agent " +
                                              options_.agent_id + " to restore. Start it as a new one, and `rivulet adopt` its predecessor"};
      return value->generation;
    }
  }

  template <class Take>
  result<void> read_all(const kafka::TopicPartition& where, const Take& take) {
    kafka::Reader::Watermarks marks;
    if (auto done = until_done(named(where), [&] { return (marks = uplink_.committed_range(where, call_ms, [] { return false; })).failure; }); !done) return done;
    return read_range({where, marks.start, marks.end}, take);
  }

  template <class Take>
  result<void> read_range(kafka::ReadRange range, const Take& take) {
    std::optional<Error> stopped;
    auto done = until_done(named(range.where), [&] {
      if (range.from >= range.until) return Failure{};
      const auto progress = uplink_.read(range, options_.timeout_ms, [] { return false; }, [&](const kafka::Fetched& record) {
        auto taken = take(record);
        range.from = record.offset + 1;  // a read that breaks off goes on here
        if (!taken) stopped = taken.error();
        return taken.has_value();
      });
      return stopped ? Failure{} : progress.failure;
    });
    if (stopped) return Error{stopped->code, "restore: " + named(range.where) + ": " + stopped->message};
    return done;
  }

  // Nobody else with this id forwards from here on.
  result<void> fence() {
    if (auto done = until_done("init_transactions", [&] { return uplink_.init(call_ms); }); !done) return done;
    std::vector<kafka::TopicPartition> where{progress_};
    for (const auto& topic : options_.changelogs) where.push_back({topic, predecessor_.changelogs.at(topic)});
    kafka::Offsets ends;
    if (auto done = until_done("offsets", [&] { return (ends = uplink_.high_watermarks(where, call_ms)).failure; }); !done) return done;
    if (auto done = stable(where, ends.offsets); !done) return done;
    if (auto done = until_done("transaction", [&] { return uplink_.begin(); }); !done) return done;
    const auto value = encode_progress(store_.identity().incarnation, 1, {}, predecessor_.changelogs);
    kafka::Message message;
    message.topic = uplink_.topic(progress_.topic);
    message.partition = progress_.partition;
    message.key = options_.agent_id;
    message.value = value;
    message.timestamp_ms = clock_.wall_ms();
    if (auto done = until_done("progress record", [&] { return uplink_.send(message, call_ms); }); !done) return done;
    if (auto done = until_done("progress record", [&] { return uplink_.flush(call_ms); }); !done) return done;
    const auto report = uplink_.report();
    if (report.failure || report.without_offset || report.partitions.size() != 1)
      return Error{ErrorCode::unavailable, "restore: progress record: " + (report.failure ? report.failure.message : std::string("no delivery report")) + "; run it again"};
    offset_ = report.partitions.front().last_offset;
    if (auto done = until_done("commit", [&] { return uplink_.commit(call_ms).failure; }); !done) return done;
    cluster_id_ = uplink_.cluster_id(call_ms);
    fault_point("restore.fenced");
    return stable({progress_}, {offset_ + 1});
  }

  result<void> stable(const std::vector<kafka::TopicPartition>& where, const std::vector<std::int64_t>& ends) {
    return until_done("waiting for open transactions to end", [&] {
      const auto stable = uplink_.stable_offsets(where, call_ms);
      if (stable.failure) return stable.failure;
      for (std::size_t i = 0; i < where.size(); ++i)
        if (stable.offsets[i] < ends[i]) return Failure{FailureKind::retry, 0, named(where[i]) + " is stable up to offset " + std::to_string(stable.offsets[i]) + " of " + std::to_string(ends[i])};
      return Failure{};
    });
  }

  result<void> read() {
    store::Rebuild last;
    for (const auto& topic : options_.changelogs)
      if (auto done = read_changelog({topic, predecessor_.changelogs.at(topic)}, last); !done) return done;
    last.facts.emplace_back(witness_fact, encode(Witness{cluster_id_, progress_, offset_, 1}));
    last.facts.emplace_back(changelogs_fact, encode(predecessor_.changelogs));
    last.facts.emplace_back(store::kRestoringFact, std::nullopt);
    restored_.streams = last.streams.size();
    restored_.predecessor = predecessor_.incarnation;
    fault_point("restore.before_end");
    return store_.rebuild(std::move(last));
  }

  result<void> read_changelog(const kafka::TopicPartition& where, store::Rebuild& last) {
    const auto generation = find_header(where);
    if (!generation) return generation.error();
    ChangelogReplay replay(options_.agent_id, *generation);
    bool accepted = false;
    auto done = read_all(where, [&](const kafka::Fetched& record) -> result<void> {
      if (!record.key) return {};
      if (auto taken = replay.take(*record.key, record.value); !taken) return Error{taken.error().code, "offset " + std::to_string(record.offset) + ": " + taken.error().message};
      if (!accepted && replay.catalogue()) {
        accepted = true;
        if (options_.accept)
          if (auto fits = options_.accept(*replay.catalogue()); !fits) return fits;
      }
      return replay.batch_bytes() < batch_bytes ? result<void>{} : store_.rebuild(replay.take_batch());
    });
    if (!done) return done;
    if (!replay.catalogue() || !replay.header())
      return Error{ErrorCode::conflict, "restore: changelog " + where.topic + " has no " + (replay.catalogue() ? "header" : "catalogue") + " of agent " + options_.agent_id + ": records of it were deleted; it needs cleanup.policy=compact"};
    if (done = store_.rebuild(replay.take_batch()); !done) return done;
    fault_point("restore.batch");
    std::vector<StreamId> members;
    for (const auto& stream : replay.header()->streams) {
      last.streams.push_back({stream.id, stream.name, stream.topic, stream.last, stream.last, 0});
      members.push_back(stream.id);
    }
    add_own(where.topic, *generation, replay, members, last);
    return {};
  }

  // The changelog's own stream, and that it holds everything.
  void add_own(const std::string& topic, const store::Generation& generation, const ChangelogReplay& replay, const std::vector<StreamId>& members, store::Rebuild& last) {
    const auto name = store::changelog_name(topic);
    last.streams.push_back({replay.header()->own, name, topic, replay.header()->last, replay.header()->last, 0});
    last.positions.push_back({name, store::kGenerationKey, store::changelog_value(generation, encode_body(*replay.catalogue()))});
    last.positions.push_back({name, store::kMembersKey, store::encode_members(members)});
    restored_.rows += replay.rows();
    restored_.positions += replay.positions();
  }

  const RestoreOptions& options_;
  store::Store& store_;
  Uplink& uplink_;
  const Clock& clock_;
  kafka::TopicPartition progress_;
  Progress predecessor_;
  std::int64_t offset_ = -1;  // of our progress record
  std::string cluster_id_;
  Restored restored_;
};

}  // namespace

result<Restored> restore(const RestoreOptions& options, store::Store& store, Uplink& uplink, const Clock& clock) { return Restore(options, store, uplink, clock).run(); }

}  // namespace rivulet::forward
