// Where the demo finds its example, and the folder that it leaves nothing behind in.
#pragma once
#include <string>

#include "agent/base/result.h"

namespace rivulet::app {

// demo.yaml: ../share/rivulet beside the program, config/ of the source tree above it, or config/ below the present folder.
result<std::string> find_demo_config();

// A fresh folder that is removed with everything in it by the destructor.
class TemporaryFolder {
 public:
  static result<TemporaryFolder> make(const std::string& prefix);
  TemporaryFolder(TemporaryFolder&& other) noexcept;
  TemporaryFolder& operator=(TemporaryFolder&&) = delete;
  ~TemporaryFolder();
  const std::string& path() const { return path_; }

 private:
  explicit TemporaryFolder(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

}  // namespace rivulet::app
