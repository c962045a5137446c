#include "agent/app/topology_picture.h"

#include <fmt/core.h>

#include <iterator>

#include "agent/app/agent.h"
#include "agent/base/check.h"
#include "agent/pipeline/changelog_units.h"
#include "agent/pipeline/stateful/operator.h"

namespace rivulet::app {
namespace {

std::string dot_text(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '"' || c == '\\') escaped += '\\';
    if (static_cast<unsigned char>(c) >= 0x20) escaped += c;
    else escaped += ' ';
  }
  return escaped;
}

// Mermaid reads labels as HTML with entities of its own: #NUMBER;. Letters, digits and what is harmless stay as they are.
std::string mermaid_text(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = byte >= 0x80 || (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || c == ' ' || c == '.' || c == '_' || c == '-' || c == ',' || c == '/';
    if (plain) escaped += c;
    else if (byte < 0x20) escaped += ' ';
    else escaped += fmt::format("#{};", byte);
  }
  return escaped;
}

std::string joined(const std::vector<std::string>& lines, std::string (*escape)(const std::string&), const char* between) {
  std::string text;
  for (const std::string& line : lines) text += (text.empty() ? "" : between) + escape(line);
  return text;
}

}  // namespace

TopologyPicture::TopologyPicture(const config::Config& config, const pipeline::Topology& topology) {
  for (const auto& source : config.sources) node(Kind::source, source.name, {type_name(source)});
  for (const auto& table : config.tables) node(Kind::table, table.name, {"table"});
  for (const auto& pipeline : config.pipelines) {
    std::vector<std::string> kinds;
    for (const auto& step : pipeline.steps) kinds.push_back(step.name.empty() || step.name == step.kind ? step.kind : step.kind + " " + step.name);
    node(Kind::pipeline, pipeline.name, std::move(kinds));
  }
  for (const auto& pipeline : config.pipelines) {
    const std::size_t to = input(pipeline.name);
    for (const std::string& from : pipeline.from) edge(input(from), to);
    for (const auto& step : pipeline.steps)
      if (const std::string with = pipeline::joined_with(step); !with.empty()) edge(input(with), to, "join", true);
  }
  // A stream is called as its owner, or OWNER/WHAT where it is a side output.
  for (const auto& output : topology.outputs()) {
    const std::size_t slash = output.stream.find('/');
    const std::string owner = output.stream.substr(0, slash);
    if (inputs_.count(owner) == 0) continue;
    edge(input(owner), node(Kind::topic, output.topic), slash == std::string::npos ? std::string() : output.stream.substr(slash + 1), slash != std::string::npos);
  }
  for (const auto& unit : pipeline::changelog_units(config)) {
    const std::size_t topic = node(Kind::topic, unit.topic);
    for (const std::string& pipeline : unit.pipelines) edge(input(pipeline), topic, "changelog", true);
  }
}

std::size_t TopologyPicture::node(Kind kind, const std::string& name, std::vector<std::string> more) {
  auto& named = kind == Kind::topic ? topics_ : inputs_;
  const auto [found, added] = named.emplace(name, nodes_.size());
  if (!added) return found->second;
  more.insert(more.begin(), name);
  nodes_.push_back({kind, std::move(more)});
  return found->second;
}

std::size_t TopologyPicture::input(const std::string& name) const {
  const auto found = inputs_.find(name);
  RV_CHECK(found != inputs_.end(), "a checked configuration refers to what it has");
  return found->second;
}

std::string TopologyPicture::dot() const {
  static constexpr const char* shapes[] = {"shape=box, style=\"rounded,filled\", fillcolor=\"#dcebfb\"", "shape=cylinder, style=filled, fillcolor=\"#f0f0f0\"", "shape=box, style=filled, fillcolor=\"#ffffff\"",
                                           "shape=cds, style=filled, fillcolor=\"#dff3ea\""};
  std::string text = "digraph rivulet {\n  rankdir=LR;\n  node [fontname=\"sans-serif\", fontsize=11];\n  edge [fontname=\"sans-serif\", fontsize=9];\n";
  const auto to = std::back_inserter(text);
  for (std::size_t i = 0; i < nodes_.size(); ++i)
    fmt::format_to(to, "  n{} [label=\"{}\", {}];\n", i, joined(nodes_[i].lines, dot_text, "\\n"), shapes[static_cast<int>(nodes_[i].kind)]);
  for (const Edge& edge : edges_) {
    std::string how = edge.side ? "style=dashed" : "";
    if (!edge.label.empty()) how += (how.empty() ? "label=\"" : ", label=\"") + dot_text(edge.label) + "\"";
    fmt::format_to(to, "  n{} -> n{}{};\n", edge.from, edge.to, how.empty() ? "" : " [" + how + "]");
  }
  return text + "}\n";
}

std::string TopologyPicture::mermaid() const {
  static constexpr std::pair<const char*, const char*> shapes[] = {{"([\"", "\"])"}, {"[(\"", "\")]"}, {"[\"", "\"]"}, {">\"", "\"]"}};
  std::string text = "flowchart LR\n";
  const auto to = std::back_inserter(text);
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    const auto& [open, close] = shapes[static_cast<int>(nodes_[i].kind)];
    fmt::format_to(to, "  n{}{}{}{}\n", i, open, joined(nodes_[i].lines, mermaid_text, "<br/>"), close);
  }
  for (const Edge& edge : edges_)
    fmt::format_to(to, "  n{} {}{} n{}\n", edge.from, edge.side ? "-.->" : "-->", edge.label.empty() ? "" : "|\"" + mermaid_text(edge.label) + "\"|", edge.to);
  return text;
}

}  // namespace rivulet::app
