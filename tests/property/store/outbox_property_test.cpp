// The outbox against a model of it: random epochs, acknowledgements, gaps, drops and restarts. RIVULET_SEED=n repeats a run.
#include <array>
#include <cstdlib>
#include <random>

#include "store/inspect.h"
#include "tests/unit/store/store_fixture.h"

using namespace rivulet;
using namespace rivulet::store;

namespace {

struct Model {
  StreamId id = 0;
  Sequence acknowledged = 0;
  std::vector<std::optional<std::string>> values;  // by sequence - 1; none: a gap
  Sequence last() const { return values.size(); }
};

std::string noise(std::mt19937_64& random) {
  std::string text(random() % (random() % 10 == 0 ? 20'000 : 300), '\0');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

void check_same(Store& store, const Model& model, std::mt19937_64& random) {
  Sequence expected = model.acknowledged + 1;
  while (expected <= model.last()) {
    const auto packs = store.read(model.id, expected - 1, random() % 100'000).value();
    REQUIRE_FALSE(packs.empty());
    for (const Pack& pack : packs) {
      REQUIRE(pack.first == expected);
      REQUIRE((pack.gap || pack.records.size() == pack.last - pack.first + 1));
      for (; expected <= pack.last; ++expected) {
        const auto& value = model.values.at(expected - 1);
        if (pack.gap != !value || (value && pack.records[expected - pack.first].value != value)) FAIL("record " << expected << " is another one");
      }
    }
  }
  CHECK(store.read(model.id, model.last(), SIZE_MAX).value().empty());
}

std::uint64_t waiting(const Model& model) {
  std::uint64_t count = 0;
  for (Sequence n = model.acknowledged + 1; n <= model.last(); ++n) count += model.values[n - 1] ? 1 : 0;
  return count;
}

}  // namespace

TEST_CASE("whatever happens to streams, what is not acknowledged is read back in order, as it was put in or as a gap") {
  const char* text = std::getenv("RIVULET_SEED");
  const std::uint64_t base = text == nullptr ? 1 : std::strtoull(text, nullptr, 10);
  std::uint64_t quarantined = 0;
  for (std::uint64_t seed = base; seed < base + 25; ++seed) {
    INFO("RIVULET_SEED=" << seed);
    std::mt19937_64 random(seed);
    Folder folder;
    Options options;
    options.compression = std::array{Compression::none, Compression::lz4, Compression::zstd}[seed % 3];
    auto store = open(folder, options);
    std::vector<Model> models(3);
    for (std::size_t i = 0; i < models.size(); ++i) models[i].id = store->stream("s" + std::to_string(i), "t").value().id;
    for (int step = 0; step < 60; ++step) {
      Model& model = models[random() % models.size()];
      const std::uint64_t action = random() % 10;
      if (action < 5) {
        Epoch epoch;
        for (Model& any : models)
          for (std::uint64_t n = random() % 40; n > 0; --n) {
            any.values.push_back(noise(random));
            epoch.append(any.id, any.last(), std::nullopt, *any.values.back(), static_cast<Timestamp>(random() % 1000));
          }
        REQUIRE(commit(*store, std::move(epoch)));
      } else if (action < 7 && model.last() > 0) {
        const Sequence to = model.acknowledged + random() % (model.last() - model.acknowledged + 1);
        REQUIRE(store->change(acknowledged(model.id, to, random() % 2 == 0)));
        model.acknowledged = to;
      } else if (action < 9 && model.last() > 0) {
        ForwardChange change;
        const Sequence first = random() % model.last() + 1, last = std::min(model.last(), first + random() % (random() % 4 == 0 ? 200 : 5));
        change.gaps.push_back({model.id, first, last, "for the test", random() % 2 == 0});
        change.durable = random() % 2 == 0;
        for (Sequence n = std::max(first, model.acknowledged + 1); n <= last; ++n) {
          quarantined += change.gaps[0].quarantine && model.values[n - 1] ? 1 : 0;
          model.values[n - 1].reset();
        }
        REQUIRE(store->change(std::move(change)));
      } else {
        store.reset();
        store = open(folder, options);
      }
      check_same(*store, model, random);
      for (const StreamInfo& stream : store->streams().value()) CHECK(stream.waiting() == waiting(models.at(stream.id - 1)));
      CHECK(Inspect::open(folder.path).value().stats().value().outbox_records == store->stats().outbox_records);
    }
    std::uint64_t all = 0;
    for (const Model& model : models) {
      check_same(*store, model, random);
      all += waiting(model);
    }
    CHECK(store->streams().value().size() == models.size());
    CHECK(store->stats().outbox_records == all);
    for (const Model& model : models) REQUIRE(store->change(acknowledged(model.id, model.last())));
    CHECK(eventually([&] { return store->stats().outbox_bytes == 0; }));
    CHECK(store->stats().quarantine_records == quarantined);
    quarantined = 0;
  }
}
