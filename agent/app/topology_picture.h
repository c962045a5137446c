// TopologyPicture: the configuration as a graph, in the languages of Graphviz (dot) and Mermaid.
//
// Nodes are sources, lookup tables, pipelines with the kinds of their steps, and topics; edges are the way of records, dotted where they are side outputs
// (undecodable, late, changelogs) and joins. Names and everything else from the configuration stand only in quoted labels, escaped as the language asks:
// no name can become markup. Thread: any (a value).
#pragma once
#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "agent/config/config.h"
#include "agent/pipeline/topology.h"

namespace rivulet::app {

class TopologyPicture {
 public:
  TopologyPicture(const config::Config& config, const pipeline::Topology& topology);
  std::string dot() const;
  std::string mermaid() const;

 private:
  enum class Kind { source, table, pipeline, topic };
  struct Node {
    Kind kind;
    std::vector<std::string> lines;  // of its label; the first is its name
  };
  struct Edge {
    std::size_t from, to;
    std::string label;
    bool side;
  };
  std::size_t node(Kind kind, const std::string& name, std::vector<std::string> more = {});
  void edge(std::size_t from, std::size_t to, std::string label = {}, bool side = false) { edges_.push_back({from, to, std::move(label), side}); }
  std::size_t input(const std::string& name) const;  // a source, table or pipeline

  std::vector<Node> nodes_;
  std::vector<Edge> edges_;
  std::map<std::string, std::size_t> inputs_, topics_;
};

}  // namespace rivulet::app
