// ByKey: a hash table by a key's bytes that is asked with a view. Thread: one.
#pragma once
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace rivulet::pipeline {

struct HashBytes {
  using is_transparent = void;
  std::size_t operator()(std::string_view bytes) const { return std::hash<std::string_view>{}(bytes); }
};
template <class T>
using ByKey = std::unordered_map<std::string, T, HashBytes, std::equal_to<>>;

}  // namespace rivulet::pipeline
