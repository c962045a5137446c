// What the store's tests share: a folder of their own, opening, committing and waiting, numbered records.
#pragma once
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "store/store.h"
#include "tests/support/catch.h"

namespace rivulet::store {

struct Folder {
  std::string path;
  Folder() {
    std::string pattern = std::filesystem::temp_directory_path() / "rivulet-store-XXXXXX";
    path = ::mkdtemp(pattern.data());
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  // Files whose name begins so.
  std::vector<std::string> files(const std::string& prefix) const {
    std::vector<std::string> found;
    for (const auto& file : std::filesystem::directory_iterator(path))
      if (file.path().filename().string().rfind(prefix, 0) == 0) found.push_back(file.path().string());
    return found;
  }
};

inline result<std::unique_ptr<Store>> try_open(const std::string& path, Options options = {}) {
  static const SystemClock clock;
  options.directory = path;
  if (options.agent_id.empty()) options.agent_id = "gateway-1";
  return Store::open(options, clock);
}

inline std::unique_ptr<Store> open(const Folder& folder, Options options = {}) { return try_open(folder.path, std::move(options)).value(); }

inline result<void> commit(Store& store, Epoch epoch) {
  const auto promise = std::make_shared<std::promise<result<void>>>();
  store.commit(std::move(epoch), [promise](result<void> outcome) { promise->set_value(outcome); });
  return promise->get_future().get();
}

inline Epoch records(StreamId stream, Sequence first, Sequence last) {
  Epoch epoch;
  for (Sequence n = first; n <= last; ++n) epoch.append(stream, n, "key", "value-" + std::to_string(n), static_cast<Timestamp>(n));
  return epoch;
}

inline std::vector<std::string> values(const std::vector<Pack>& packs) {
  std::vector<std::string> all;
  for (const Pack& pack : packs)
    for (const PackRecord& record : pack.records) all.emplace_back(record.value.value_or("null"));
  return all;
}

inline ForwardChange acknowledged(StreamId stream, Sequence last, bool durable = true) {
  ForwardChange change;
  change.acknowledged.push_back({stream, last});
  change.durable = durable;
  return change;
}

inline bool eventually(const std::function<bool()>& holds, std::chrono::milliseconds within = std::chrono::seconds(10)) {
  const auto deadline = std::chrono::steady_clock::now() + within;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

}  // namespace rivulet::store
