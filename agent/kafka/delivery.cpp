#include "agent/kafka/delivery.h"

#include <algorithm>

namespace rivulet::kafka {
namespace {

// A record's own code tells more than that of those that were only in its batch (failure.h).
int telling(int code) { return 2 * rank_of(kind_of(code)) + (code != invalid_record ? 1 : 0); }

}  // namespace

void Delivery::reset() {
  partitions_.clear();
  last_used_ = 0;
  failures_ = {};
}

Delivery::Partition& Delivery::partition(const rd_kafka_message_t& message) {
  const auto is_it = [&](const Partition& p) { return p.topic == message.rkt && p.delivered.where.partition == message.partition; };
  if (last_used_ < partitions_.size() && is_it(partitions_[last_used_])) return partitions_[last_used_];
  const auto found = std::find_if(partitions_.begin(), partitions_.end(), is_it);
  last_used_ = static_cast<std::size_t>(found - partitions_.begin());
  if (found != partitions_.end()) return *found;
  Delivered delivered;
  delivered.where = {rd_kafka_topic_name(message.rkt), message.partition};
  return partitions_.emplace_back(Partition{message.rkt, std::move(delivered)});
}

void Delivery::add(const rd_kafka_message_t& message) {
  const auto index = static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(message._private));
  if (message.err != RD_KAFKA_RESP_ERR_NO_ERROR) {
    auto& worst = failures_;
    if (message.err == worst.failure.code) {
      ++worst.failed_records;
      worst.failed_index = std::min(worst.failed_index, index);
    } else if (telling(message.err) > telling(worst.failure.code)) {
      worst.failure = failure_of(message.err);
      worst.failed_topic = rd_kafka_topic_name(message.rkt);
      worst.failed_index = index;
      worst.failed_records = 1;
    }
    return;
  }
  if (message.offset < 0) {
    failures_.without_offset = true;
    return;
  }
  auto& to = partition(message).delivered;
  if (to.first_offset < 0 || message.offset < to.first_offset) to.first_offset = message.offset;
  if (message.offset > to.last_offset) {
    to.last_offset = message.offset;
    to.last_index = index;
  }
  if (!to.rows.empty() && to.rows.back().last + 1 == index) to.rows.back().last = index;
  else to.rows.push_back({index, index});
}

DeliveryReport Delivery::report() const {
  DeliveryReport report = failures_;
  for (const auto& partition : partitions_) {
    auto delivered = partition.delivered;
    // Reports of one partition come in order of offset; a resent batch may still be reported late.
    std::sort(delivered.rows.begin(), delivered.rows.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    report.partitions.push_back(std::move(delivered));
  }
  std::sort(report.partitions.begin(), report.partitions.end(), [](const auto& a, const auto& b) { return a.where < b.where; });
  return report;
}

}  // namespace rivulet::kafka
