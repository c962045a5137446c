#include "agent/source/file/matching.h"

#include <algorithm>
#include <map>
#include <set>

namespace rivulet::source {
namespace {

constexpr std::uint64_t sure_bytes = 64;      // this much in common makes a shorter file with another inode or name the same one
constexpr std::size_t telling_bytes = 16;     // below this a head tells nothing about a file elsewhere

class Matcher {
 public:
  Matcher(const std::vector<Tail*>& tails, const Listing& listing) : listing_(listing), tails_(tails), open_(tails), taken_(listing.files.size()) {
    std::sort(open_.begin(), open_.end(), [](const Tail* a, const Tail* b) { return a->serial > b->serial; });
  }

  Matching run() {
    pass([](const Tail& tail, const Seen& seen) { return seen.inode == tail.inode && seen.path == tail.path; }, true);
    pass([](const Tail& tail, const Seen& seen) { return seen.inode == tail.inode; }, true);
    pass([](const Tail& tail, const Seen& seen) { return seen.path == tail.path; }, false);
    std::erase_if(open_, [&](Tail* tail) { return take_elsewhere(tail); });
    matching_.lost = std::move(open_);
    for (const auto& seen : listing_.files) {
      if (seen.wanted && !taken(seen)) matching_.fresh.push_back(&seen);
    }
    return std::move(matching_);
  }

 private:
  enum class Fit { no, same, shorter };

  template <class Candidate>
  void pass(const Candidate& candidate, bool same_inode) {
    std::erase_if(open_, [&](Tail* tail) {
      for (const auto& seen : listing_.files) {
        if (!candidate(*tail, seen) || taken(seen)) continue;
        const Fit fit = fits(*tail, seen, same_inode);
        if (fit == Fit::no) continue;
        if (fit == Fit::same || !take_elsewhere(tail)) take(tail, seen, fit == Fit::shorter);
        return true;
      }
      return false;
    });
  }

  Fit fits(const Tail& tail, const Seen& seen, bool same_inode) {
    const bool unchanged = same_inode && !tail.check_head && seen.size == tail.size && seen.modified_ns == tail.modified_ns && seen.path == tail.path;
    if (unchanged && tail.size >= tail.offset && tail.size > 0) return Fit::same;
    const auto& head = head_of(seen);
    if (!head) return same_inode ? Fit::same : Fit::no;
    const bool long_enough = seen.size >= tail.offset;
    switch (tail.head.compare(*head)) {
      case Head::Match::unknown:
        return same_inode && (seen.path == tail.path || seen.wanted || seen.rotated_name) ? Fit::same : Fit::no;
      case Head::Match::same: return long_enough ? Fit::same : Fit::shorter;
      case Head::Match::shorter: return (same_inode && seen.path == tail.path) || head->size() >= sure_bytes ? Fit::shorter : Fit::no;
      case Head::Match::different: return Fit::no;
    }
    return Fit::no;
  }

  bool take_elsewhere(Tail* tail) {
    if (tail->head.length() < telling_bytes) return false;
    const Seen* best = nullptr;
    for (const auto& seen : listing_.files) {  // oldest first: the newest that fits is taken
      if (taken(seen) || seen.size < tail->offset) continue;
      if (tail->missing && !seen.wanted) continue;  // was looked for among these when it went
      const auto& head = head_of(seen);
      if (!head || tail->head.compare(*head) != Head::Match::same || !newline_before(seen, tail->offset) || is_others(seen, tail)) continue;
      best = &seen;
    }
    if (best == nullptr) return false;
    take(tail, *best, false);
    return true;
  }

  // One that is not matched yet has its own file there.
  bool is_others(const Seen& seen, const Tail* tail) {
    return std::any_of(tails_.begin(), tails_.end(), [&](const Tail* other) {
      const bool same_inode = other->inode == seen.inode;
      return other != tail && (same_inode || other->path == seen.path) && !matched_.contains(other) && fits(*other, seen, same_inode) != Fit::no;
    });
  }

  void take(Tail* tail, const Seen& seen, bool shorter) {
    taken_[index(seen)] = true;
    matched_.insert(tail);
    matching_.pairs.push_back({tail, &seen, shorter});
  }

  std::size_t index(const Seen& seen) const { return static_cast<std::size_t>(&seen - listing_.files.data()); }
  bool taken(const Seen& seen) const { return taken_[index(seen)]; }

  const std::optional<std::string>& head_of(const Seen& seen) {
    const auto known = heads_.find(&seen);
    return known != heads_.end() ? known->second : heads_.emplace(&seen, read_head(seen)).first->second;
  }

  const Listing& listing_;
  const std::vector<Tail*>& tails_;
  std::vector<Tail*> open_;
  Matching matching_;
  std::vector<bool> taken_;  // of listing_.files
  std::set<const Tail*> matched_;
  std::map<const Seen*, std::optional<std::string>> heads_;
};

}  // namespace

Matching match(const std::vector<Tail*>& tails, const Listing& listing) { return Matcher(tails, listing).run(); }

}  // namespace rivulet::source
