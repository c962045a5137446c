// Temporary, until the real one is there: count(*) as n, and count/sum/min/max/first/last of the field v, each by its name in `select`.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/bytes.h"
#include "agent/config/config.h"
#include "agent/pipeline/evaluator.h"

namespace rivulet::pipeline {

struct AggState {
  std::int64_t n = 0, sum = 0, count = 0, min = 0, max = 0;
  std::uint64_t first_seq = UINT64_MAX, last_seq = 0;
  std::string first, last;
};

class Aggregates {
 public:
  static std::unique_ptr<Aggregates> build(Evaluator&, const config::Aggregate& config, const std::string&, std::vector<config::Problem>&) {
    auto made = std::make_unique<Aggregates>();
    made->config_ = config;
    return made;
  }
  AggState fresh() const { return {}; }
  result<void> take(const Row& row) {
    const Field* field = row.find("v");
    has_ = field != nullptr && field->token != "null";
    if (has_) token_ = field->token;
    if (token_ == "\"fail\"") return Error{ErrorCode::invalid, "fails"};
    return {};
  }
  void add(AggState& s, std::uint64_t seq) const {
    ++s.n;
    if (!has_) return;
    const std::int64_t v = std::atoll(token_.c_str());
    merge(s, AggState{0, v, 1, v, v, seq, seq, token_, token_});
  }
  void merge(AggState& a, const AggState& b) const {
    a.n += b.n;
    if (b.count == 0) return;
    if (a.count == 0 || b.min < a.min) a.min = b.min;
    if (a.count == 0 || b.max > a.max) a.max = b.max;
    a.count += b.count;
    a.sum += b.sum;
    if (b.first_seq < a.first_seq) { a.first_seq = b.first_seq; a.first = b.first; }
    if (b.last_seq > a.last_seq) { a.last_seq = b.last_seq; a.last = b.last; }
  }
  void encode(const AggState& s, std::string& to) const {
    for (std::int64_t v : {s.n, s.sum, s.count, s.min, s.max, static_cast<std::int64_t>(s.first_seq), static_cast<std::int64_t>(s.last_seq)}) put_zigzag(to, v);
    put_sized(to, s.first);
    put_sized(to, s.last);
  }
  const std::string& definition() const { return definition_; }
  ::rivulet::result<AggState> decode(std::string_view bytes) const {
    AggState s;
    Reader r(bytes);
    s.n = r.zigzag(); s.sum = r.zigzag(); s.count = r.zigzag(); s.min = r.zigzag(); s.max = r.zigzag();
    s.first_seq = static_cast<std::uint64_t>(r.zigzag()); s.last_seq = static_cast<std::uint64_t>(r.zigzag());
    s.first = r.sized(); s.last = r.sized();
    return s;
  }
  result<bool> finish(const AggState& s, std::string_view, const Window* window, std::string& text) const {
    text = "{";
    for (const auto& f : config_.select) {
      text += (text.size() > 1 ? ",\"" : "\"") + f.field + "\":";
      const std::string& e = f.expression.sql;
      if (e == "count(*)") text += std::to_string(s.n);
      else if (s.count == 0) text += "null";
      else if (e == "sum(v)") text += std::to_string(s.sum);
      else if (e == "min(v)") text += std::to_string(s.min);
      else if (e == "max(v)") text += std::to_string(s.max);
      else if (e == "first(v)") text += s.first;
      else if (e == "last(v)") text += s.last;
      else text += "null";
    }
    if (window) text += ",\"window_start\":" + std::to_string(window->start_ms) + ",\"window_end\":" + std::to_string(window->end_ms);
    text += "}";
    return !config_.having || s.n > 1;
  }
 private:
  config::Aggregate config_;
  std::string definition_ = "temporary";
  bool has_ = false;
  std::string token_;
};

}  // namespace rivulet::pipeline
