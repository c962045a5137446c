#include "agent/app/config_change.h"

#include <fmt/core.h>
#include <sys/stat.h>

#include <algorithm>
#include <boost/pfr.hpp>
#include <map>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

namespace rivulet::app {
namespace {

template <class T>
struct IsOptional : std::false_type {};
template <class T>
struct IsOptional<std::optional<T>> : std::true_type {};
template <class T>
concept Sequence = requires(const T& list) { list.begin(); list.size(); } && !std::is_same_v<T, std::string>;

// A struct with a base names its fields here, the base first; that none is missing is checked below. Others are taken apart by Boost.PFR.
auto fields_with_base(const config::TcpSource& of) { return std::tuple<const config::StreamSettings&, const std::string&, const std::uint16_t&>(of, of.listen_host, of.listen_port); }
auto fields_with_base(const config::UdpSource& of) {
  return std::tuple<const config::DatagramSettings&, const std::string&, const std::uint16_t&, const std::uint64_t&>(of, of.listen_host, of.listen_port, of.receive_buffer_bytes);
}

struct Anything {
  template <class T>
  operator T() const;
};
template <class T, std::size_t... i>
constexpr bool takes(std::index_sequence<i...>) {
  return requires { T{(static_cast<void>(i), Anything{})...}; };
}

template <class T>
auto fields(const T& of) {
  if constexpr (requires { fields_with_base(of); }) {
    constexpr std::size_t count = std::tuple_size_v<decltype(fields_with_base(of))>;
    static_assert(takes<T>(std::make_index_sequence<count>()) && !takes<T>(std::make_index_sequence<count + 1>()), "fields_with_base() names every field");
    return fields_with_base(of);
  } else {
    return boost::pfr::structure_tie(of);
  }
}

// The files of TLS in whatever part of the settings.
template <class T, class Visit>
void each_file(const T& in, const Visit& visit) {
  if constexpr (std::is_same_v<T, config::Tls>) {
    for (const std::string* path : {&in.ca, &in.certificate, &in.key})
      if (!path->empty()) visit(*path);
  } else if constexpr (IsOptional<T>::value) {
    if (in) each_file(*in, visit);
  } else if constexpr (std::is_aggregate_v<T> && !Sequence<T>) {
    std::apply([&](const auto&... field) { (each_file(field, visit), ...); }, fields(in));
  }
}

template <class Visit>
void each_file(const config::Source& source, const Visit& visit) {
  std::visit([&](const auto& type) { each_file(type, visit); }, source.type);
}

std::string stamp_of(const std::string& path) {
  struct stat about {};
  if (::stat(path.c_str(), &about) != 0) return {};
  return fmt::format("{} {} {}.{}", about.st_ino, about.st_size, about.st_mtim.tv_sec, about.st_mtim.tv_nsec);
}

template <class T>
struct IsPair : std::false_type {};
template <class A, class B>
struct IsPair<std::pair<A, B>> : std::true_type {};
template <class T>
struct IsVariant : std::false_type {};
template <class... T>
struct IsVariant<std::variant<T...>> : std::true_type {};

// Field by field, so that a setting that is added is compared by itself. Where something stands in the file does not matter.
template <class T>
bool same(const T& one, const T& other) {
  if constexpr (std::is_same_v<T, config::Location>) {
    return true;
  } else if constexpr (std::is_same_v<T, config::Secret>) {
    return one.reveal() == other.reveal();
  } else if constexpr (IsOptional<T>::value) {
    return one.has_value() == other.has_value() && (!one || same(*one, *other));
  } else if constexpr (IsPair<T>::value) {
    return same(one.first, other.first) && same(one.second, other.second);
  } else if constexpr (IsVariant<T>::value) {
    return one.index() == other.index() && std::visit([&](const auto& which) { return same(which, std::get<std::decay_t<decltype(which)>>(other)); }, one);
  } else if constexpr (Sequence<T>) {
    return std::equal(one.begin(), one.end(), other.begin(), other.end(), [](const auto& a, const auto& b) { return same(a, b); });
  } else if constexpr (std::is_aggregate_v<T>) {
    return [&]<std::size_t... i>(const auto& a, const auto& b, std::index_sequence<i...>) {
      return (same(std::get<i>(a), std::get<i>(b)) && ...);
    }(fields(one), fields(other), std::make_index_sequence<std::tuple_size_v<decltype(fields(one))>>());
  } else {
    return one == other;
  }
}

bool same_type(const config::Source& one, const config::Source& other) { return same(one.type, other.type); }

// A local output has one writer, who goes on writing: of each pipeline that has any.
std::map<std::string, std::vector<config::LocalOutput>> local_outputs(const config::Config& config) {
  std::map<std::string, std::vector<config::LocalOutput>> found;
  for (const config::Pipeline& pipeline : config.pipelines)
    for (const config::Output* output : config::outputs_of(pipeline))
      if (output->local) found[pipeline.name].push_back(*output->local);
  return found;
}

const config::Source* find(const config::Config& config, const std::string& name) {
  const auto found = std::find_if(config.sources.begin(), config.sources.end(), [&](const config::Source& one) { return one.name == name; });
  return found == config.sources.end() ? nullptr : &*found;
}

bool same_stamps(const FileStamps& one, const FileStamps& other, const std::string& path) {
  const auto a = one.find(path), b = other.find(path);
  return a != one.end() && b != other.end() && a->second == b->second;
}

bool same_kafka(const Taken& before, const Taken& after) {
  if (!same(before.config.kafka, after.config.kafka)) return false;
  bool same = true;
  if (after.config.kafka)
    each_file(*after.config.kafka, [&](const std::string& path) { same = same && same_stamps(before.stamps, after.stamps, path); });
  return same;
}

bool has_changelogs(const config::Config& config) {
  return std::any_of(config.pipelines.begin(), config.pipelines.end(), [](const config::Pipeline& pipeline) { return pipeline.changelog.has_value(); });
}

}  // namespace

FileStamps stamps_of(const config::Config& config) {
  FileStamps stamps;
  const auto remember = [&](const std::string& path) { stamps[path] = stamp_of(path); };
  if (config.kafka) each_file(*config.kafka, remember);
  for (const config::Source& source : config.sources) each_file(source, remember);
  return stamps;
}

std::vector<std::string> needs_restart(const config::Config& before, const config::Config& after) {
  std::vector<std::string> names;
  if (before.agent.id != after.agent.id) names.emplace_back("agent.id");
  if (before.agent.state != after.agent.state) names.emplace_back("agent.state");
  auto old = local_outputs(before);
  for (const auto& [pipeline, outputs] : local_outputs(after)) {
    if (!same(old[pipeline], outputs)) names.push_back("pipelines." + pipeline + ".to (file, mqtt, stdout)");
    old.erase(pipeline);
  }
  for (const auto& gone : old) names.push_back("pipelines." + gone.first + ".to (file, mqtt, stdout)");
  return names;
}

bool keeps_source(const Taken& before, const Taken& after, const config::Source& source) {
  const config::Source* old = find(before.config, source.name);
  if (old == nullptr || !same_type(*old, source)) return false;
  if (std::holds_alternative<config::KafkaSource>(source.type) && !same_kafka(before, after)) return false;
  if (std::holds_alternative<config::HttpSource>(source.type) && old->decode.kind != source.decode.kind) return false;  // what its body may be, and where a frame ends
  bool same = true;
  each_file(source, [&](const std::string& path) { same = same && same_stamps(before.stamps, after.stamps, path); });
  return same;
}

bool keeps_forwarder(const Taken& before, const Taken& after) {
  if (!before.config.kafka && !after.config.kafka) return true;
  return same_kafka(before, after) && before.config.agent.memory_bytes == after.config.agent.memory_bytes && !has_changelogs(before.config) && !has_changelogs(after.config);
}

}  // namespace rivulet::app
