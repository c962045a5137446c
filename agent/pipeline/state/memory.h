// StateMemory: state that lives as long as the object: for replay and tests. What an epoch changes is applied as the file would.
//
// Thread: one.
#pragma once
#include <map>
#include <string>

#include "store/state.h"

namespace rivulet::pipeline {

class StateMemory final : public store::StateBackend {
 public:
  result<std::uint32_t> step(const std::string& pipeline, const std::string& step, const std::string& definition) override;
  result<void> log(const std::function<result<void>(std::uint64_t, std::string_view)>& visit) override;
  result<std::optional<std::string>> get(std::uint32_t table, std::string_view key) override;
  result<std::vector<std::pair<std::string, std::string>>> rows(std::uint32_t table, std::string_view from, std::string_view to, std::size_t limit) override;

  void commit(const store::StateChanges& changes);

 private:
  struct Step {
    std::uint32_t id;
    std::string definition;
  };
  std::map<std::pair<std::string, std::string>, Step> steps_;
  std::map<std::uint32_t, std::map<std::string, std::string, std::less<>>> tables_;
  std::map<std::uint64_t, std::string> log_;
};

}  // namespace rivulet::pipeline
