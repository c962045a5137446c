#include "agent/sink/sinks.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>

#include "agent/base/log.h"
#include "agent/sink/file/file_writer.h"
#include "agent/sink/file/position.h"
#include "agent/sink/mqtt/mqtt_writer.h"
#include "agent/sink/stdout/stdout_writer.h"

namespace rivulet::sink {
namespace {

constexpr std::string_view kFile = "file:", kStdout = "stdout:";

// What becomes a worker.
struct Plan {
  std::string pipeline, destination;
  config::LocalOutput output;
  std::vector<StreamId> streams;
  std::map<std::string, config::StdoutOutput> pipelines;  // stdout: of each stream
};

class Planning {
 public:
  Planning(const config::Config& config, const std::vector<store::StreamInfo>& streams) : streams_(streams) {
    for (const config::Pipeline& pipeline : config.pipelines)
      for (const config::Output& output : pipeline.to)
        if (output.local) add(pipeline.name, output);
  }

  bool knows(const store::StreamInfo& stream) const {
    return std::any_of(plans_.begin(), plans_.end(), [&](const Plan& plan) { return std::find(plan.streams.begin(), plan.streams.end(), stream.id) != plan.streams.end(); });
  }
  // To whoever goes to the same place; false: nobody does.
  bool adopt(const store::StreamInfo& stream) {
    const auto plan = std::find_if(plans_.begin(), plans_.end(), [&](const Plan& one) { return one.destination == stream.topic; });
    if (plan == plans_.end()) return false;
    plan->streams.insert(plan->streams.begin(), stream.id);  // it was there first
    return true;
  }
  void add(Plan plan) { plans_.push_back(std::move(plan)); }
  const std::vector<Plan>& plans() const { return plans_; }

 private:
  void add(const std::string& pipeline, const config::Output& output) {
    const auto stream = std::find_if(streams_.begin(), streams_.end(), [&](const store::StreamInfo& one) { return one.name == pipeline && one.topic == output.topic; });
    if (stream == streams_.end()) return;  // the agent makes them first
    const auto* lines = std::get_if<config::StdoutOutput>(&*output.local);
    // One for all that goes to the standard output, so that lines stay whole.
    auto plan = std::find_if(plans_.begin(), plans_.end(), [&](const Plan& one) { return lines != nullptr && one.destination == output.topic; });
    if (plan == plans_.end()) plan = plans_.insert(plans_.end(), {"", output.topic, *output.local, {}, {}});
    plan->pipeline += (plan->pipeline.empty() ? "" : ", ") + pipeline;
    plan->streams.push_back(stream->id);
    if (lines != nullptr) plan->pipelines[pipeline] = *lines;
  }

  const std::vector<store::StreamInfo>& streams_;
  std::vector<Plan> plans_;
};

std::unique_ptr<Worker> worker(const Plan& plan, const std::string& agent_id, store::Store& store, const Clock& clock) {
  const auto make = [&](boost::asio::io_context& io, const std::atomic<bool>& stop) -> std::unique_ptr<Writer> {
    if (const auto* file = std::get_if<config::FileOutput>(&plan.output)) return std::make_unique<FileWriter>(*file, store, clock);
    if (const auto* mqtt = std::get_if<config::MqttOutput>(&plan.output))
      return make_mqtt_writer(io, *mqtt, mqtt->client_id.empty() ? fmt::format("rivulet-{}-{}:out", agent_id, plan.pipeline) : mqtt->client_id, stop);
    return std::make_unique<StdoutWriter>(plan.pipelines);
  };
  return std::make_unique<Worker>(plan.pipeline, plan.destination, plan.streams, store, clock, make);
}

}  // namespace

result<std::unique_ptr<Sinks>> Sinks::open(const config::Config& config, store::Store& store, const Clock& clock) {
  auto streams = store.streams();
  if (!streams) return streams.error();
  std::unique_ptr<Sinks> sinks(new Sinks(store));
  Planning planning(config, *streams);
  // What is left of outputs that the configuration has no more.
  for (const store::StreamInfo& stream : *streams) {
    if (!store::is_local(stream.topic) || stream.acknowledged >= stream.last || planning.knows(stream)) continue;
    const std::uint64_t records = stream.waiting();
    if (planning.adopt(stream)) {
      log::info("sink: {} records of {} go to {} first, although it is not its output any more", records, stream.name, stream.topic);
    } else if (stream.topic.rfind(kStdout, 0) == 0) {
      sinks->wait_for_a_way(stream, "no output of the configuration is the standard output, which has the log then; give one back until they are out");
    } else if (stream.topic.rfind(kFile, 0) == 0) {
      const std::string path = stream.topic.substr(kFile.size());
      const auto fact = store.fact(position_fact(path));
      if (!fact) return fact.error();
      const auto position = *fact ? decode_position(**fact) : std::nullopt;
      auto file = position ? Format::described(position->format) : std::nullopt;
      if (!file) {
        sinks->wait_for_a_way(stream, "no output of the configuration writes this file, and it was never written; give the file output back until they are out");
        continue;
      }
      file->path = path;
      log::info("sink: {} records of {} still go to {}, although no output is configured for it any more", records, stream.name, path);
      planning.add({stream.name, stream.topic, *file, {stream.id}, {}});
    } else {
      sinks->wait_for_a_way(stream, "no output of the configuration is at this server; give one back (to any topic) until they are out");
    }
  }
  for (const Plan& plan : planning.plans()) sinks->workers_.push_back(worker(plan, config.agent.id, store, clock));
  if (sinks->workers_.empty() && sinks->waiting_.empty()) sinks.reset();
  return sinks;
}

Sinks::~Sinks() { stop(); }

void Sinks::wait_for_a_way(const store::StreamInfo& stream, const std::string& why) {
  Status status;
  status.pipeline = stream.name;
  status.destination = stream.topic;
  status.trouble = why;
  status.backlog = stream.waiting();
  log::warn("sink: {} records of {} for {} wait: {}", status.backlog, stream.name, stream.topic, why);
  waiting_.push_back(std::move(status));
  waiting_ids_.insert(stream.id);
}

void Sinks::start() {
  if (!waiting_ids_.empty()) store_.hold("sink", waiting_ids_);
  for (const auto& worker : workers_) worker->start();
}

void Sinks::wake() {
  for (const auto& worker : workers_) worker->wake();
}

void Sinks::ask_to_stop() {
  for (const auto& worker : workers_) worker->ask_to_stop();
}

void Sinks::stop() {
  ask_to_stop();
  for (const auto& worker : workers_) worker->stop();
}

std::vector<Status> Sinks::status() const {
  std::vector<Status> all;
  for (const auto& worker : workers_) all.push_back(worker->status());
  all.insert(all.end(), waiting_.begin(), waiting_.end());
  return all;
}

}  // namespace rivulet::sink
