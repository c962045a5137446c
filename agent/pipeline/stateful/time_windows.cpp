// Tumbling and hopping windows (SEMANTICS.md 5 to 7): in memory by start, then by key; in the table as start, key.
//
// Entries beyond StepState::decoded_objects() are only bytes in the table after an epoch; a bucket knows that it has such.
#include <algorithm>
#include <map>
#include <vector>

#include "agent/base/bytes.h"
#include "agent/pipeline/stateful/aggregating.h"
#include "agent/pipeline/stateful/by_key.h"

namespace rivulet::pipeline {
namespace {

class TimeWindows final : public Aggregating {
 public:
  explicit TimeWindows(const OperatorParts& parts) : Aggregating(parts), size_(config_.window.size_ms), advance_(config_.window.advance_ms), grace_(config_.window.grace_ms) {}

 private:
  struct Bucket {
    ByKey<Entry> entries;
    bool in_table = false;     // some rows are only there
    std::string closed_up_to;  // while it closes: where its rows go on; what was erased is not passed again
  };
  using Buckets = std::map<Timestamp, Bucket>;

  bool takes_null_values() const override { return true; }
  Window window(Timestamp start) const { return {start, start + size_, false}; }
  Timestamp due(Timestamp start) const { return start + size_ + grace_; }
  StateTable& rows() const { return state_->table(kMainPart); }

  static std::string row(Timestamp start, std::string_view key) {
    std::string name;
    put_u64_be(name, static_cast<std::uint64_t>(start));
    name += key;
    return name;
  }

  void load() override {
    buckets_.clear();
    latest_ = nullptr;
    decoded_ = 0;
    std::string next;
    for (bool found = true; found;) {
      found = false;
      rows().scan(next, {}, [&](std::string_view name, std::string_view) {
        Reader reader(name);
        const auto start = static_cast<Timestamp>(reader.u64_be());
        buckets_[start].in_table = true;
        next.clear();
        put_u64_be(next, static_cast<std::uint64_t>(start) + 1);
        found = true;
        return false;
      });
    }
  }

  Bucket& bucket(Timestamp start) {
    if (latest_ == nullptr || latest_start_ != start) {
      latest_ = &buckets_[start];
      latest_start_ = start;
    }
    return *latest_;
  }

  Entry* known(Timestamp start, Bucket& bucket, std::string_view key) {
    if (const auto found = bucket.entries.find(key); found != bucket.entries.end()) return &found->second;
    if (!bucket.in_table) return nullptr;
    const auto bytes = rows().get(row(start, key));
    if (!bytes) return nullptr;
    ++decoded_;
    return &bucket.entries.emplace(std::string(key), decode(*bytes)).first->second;
  }

  void add(std::string_view key, Timestamp timestamp_ms, const Row& row, Timestamp now, Emit& out) override {
    std::uint64_t late = 0;
    for (Timestamp start = std::max<Timestamp>(0, timestamp_ms - size_ + advance_) / advance_ * advance_; start <= timestamp_ms; start += advance_) {
      if (start + size_ <= now - grace_) {
        ++late;
        continue;
      }
      Bucket& into = bucket(start);
      Entry* entry = known(start, into, key);
      if (entry == nullptr) {
        entry = &into.entries.emplace(std::string(key), Entry{aggregates_->fresh()}).first->second;
        ++decoded_;
      }
      contribute(*entry, timestamp_ms);
      changed(key, window(start), *entry, out);
    }
    if (late > 0) out.late(row, late);
  }

  std::optional<Timestamp> next_due() const override { return buckets_.empty() ? std::nullopt : std::optional(due(buckets_.begin()->first)); }

  // Ends early when `out` is full; then the window keeps what is left.
  void close_due(Timestamp now, Emit& out) override {
    while (!buckets_.empty() && due(buckets_.begin()->first) <= now) {
      const auto closing = buckets_.begin();
      latest_ = nullptr;
      const bool all = closing->second.in_table ? close_from_table(closing->first, closing->second, out) : close(closing->first, closing->second, out);
      if (!all) return;
      buckets_.erase(closing);
    }
  }

  bool close(Timestamp start, Bucket& bucket, Emit& out) {
    std::vector<std::string_view> ordered;
    ordered.reserve(bucket.entries.size());
    for (auto& entry : bucket.entries) ordered.push_back(entry.first);
    std::sort(ordered.begin(), ordered.end());
    for (std::size_t i = 0; i < ordered.size(); ++i) {
      auto entry = bucket.entries.extract(bucket.entries.find(ordered[i]));
      --decoded_;
      rows().erase(row(start, entry.key()));
      final(entry.key(), window(start), entry.mapped(), out);
      if (i + 1 < ordered.size() && out.full()) return false;
    }
    return true;
  }

  // Not all of it is decoded, and it need not be at once.
  bool close_from_table(Timestamp start, Bucket& bucket, Emit& out) {
    decoded_ -= bucket.entries.size();
    for (auto& [key, entry] : bucket.entries)
      if (entry.dirty) rows().put(row(start, key), encode(entry));
    bucket.entries.clear();
    const std::string end = row(start + 1, {});
    if (bucket.closed_up_to.empty()) bucket.closed_up_to = row(start, {});
    std::vector<std::pair<std::string, std::string>> some;
    do {
      some.clear();
      rows().scan(bucket.closed_up_to, end, [&](std::string_view name, std::string_view bytes) {
        some.emplace_back(name, bytes);
        return some.size() < kClosedAtOnce;
      });
      for (const auto& [name, bytes] : some) {
        Entry entry = decode(bytes);
        rows().erase(name);
        final(std::string_view(name).substr(sizeof start), window(start), entry, out);
        bucket.closed_up_to = name + '\0';
        if (out.full()) return false;
      }
    } while (!some.empty());
    return true;
  }

  // Only windows that came due with this move: earlier ones of the key are closed.
  void close_key(std::string_view key, StreamTime::Move move, Emit& out) override {
    const Timestamp first = move.from == kNoTime ? 0 : move.from - size_ - grace_ + 1;
    std::vector<Timestamp> starts;
    for (auto it = buckets_.lower_bound(first); it != buckets_.end() && due(it->first) <= move.to; ++it) starts.push_back(it->first);
    for (const Timestamp start : starts) {
      const auto found = buckets_.find(start);
      if (known(start, found->second, key) == nullptr) continue;
      auto entry = found->second.entries.extract(found->second.entries.find(key));
      --decoded_;
      rows().erase(row(start, key));
      if (found->second.entries.empty() && !(found->second.in_table && in_table(start))) {
        buckets_.erase(found);
        latest_ = nullptr;
      }
      final(entry.key(), window(start), entry.mapped(), out);
    }
  }

  bool in_table(Timestamp start) {
    bool found = false;
    rows().scan_prefix(row(start, {}), [&](std::string_view, std::string_view) {
      found = true;
      return false;
    });
    return found;
  }

  Entry* find(std::string_view key, const Window& window) override {
    const auto found = buckets_.find(window.start_ms);
    return found == buckets_.end() ? nullptr : known(found->first, found->second, key);
  }

  bool place(std::string_view name, std::string_view& key, Window& of) const override {
    Reader reader(name);
    of = window(static_cast<Timestamp>(reader.u64_be()));
    key = reader.rest();
    return reader.ok();
  }

  void save_entries() override {
    for (auto& [start, bucket] : buckets_)
      for (auto& [key, entry] : bucket.entries) {
        if (!entry.dirty) continue;
        rows().put(row(start, key), encode(entry));
        entry.dirty = false;
      }
    for (auto it = buckets_.begin(); it != buckets_.end() && decoded_ > state_->decoded_objects(); ++it) {
      decoded_ -= it->second.entries.size();
      it->second.in_table = it->second.in_table || !it->second.entries.empty();
      it->second.entries.clear();
    }
  }

  static constexpr std::size_t kClosedAtOnce = 256;
  const Timestamp size_, advance_, grace_;
  Buckets buckets_;
  Bucket* latest_ = nullptr;
  Timestamp latest_start_ = 0;
  std::size_t decoded_ = 0;
};

}  // namespace

std::unique_ptr<Operator> make_time_windows(const OperatorParts& parts) { return std::make_unique<TimeWindows>(parts); }

}  // namespace rivulet::pipeline
