#include "agent/pipeline/aggregate/plan.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <map>

#include "agent/codec/json.h"
#include "agent/pipeline/aggregate/aggregates.h"
#include "agent/pipeline/aggregate/calls.h"
#include "agent/pipeline/aggregate/functions.h"
#include "agent/pipeline/sql_text.h"

namespace rivulet::pipeline::aggregate {
namespace {

constexpr std::string_view kInternal = "rivulet_aggregate_";  // and the call's number: its name in the outer expression

Error refused(const std::string& what) { return {ErrorCode::invalid, what}; }

class Compiler {
 public:
  Compiler(Evaluator& evaluator, const config::Aggregate& config, std::string path, std::vector<config::Problem>& problems, bool subtractable)
      : evaluator_(evaluator), config_(config), path_(std::move(path)), problems_(problems), subtractable_(subtractable), plan_(std::make_unique<Plan>()) {}
  std::unique_ptr<Plan> run();

 private:
  struct Rewritten {
    std::string sql;
    std::vector<std::size_t> calls;  // into Plan::calls
    bool only_a_call = false;
  };
  result<Rewritten> rewrite(const std::string& sql, bool having);
  result<std::size_t> add_call(const CallText& text);
  result<std::size_t> add_argument(const std::string& sql, const std::string& written, unsigned needs);
  result<double> constant(const std::string& sql, const std::string& written);
  result<void> add_output(const config::Assignment& field);
  result<void> add_having(const std::string& sql);
  result<void> add_outer(ItemKind kind, const std::string& sql, const std::string& name);
  result<void> check_outer(const std::string& field) const;
  void finish();

  bool windowed() const { return config_.window.kind != config::WindowSpec::Kind::none; }
  void problem(const config::Location& at, const std::string& path, const Error& error) { problems_.push_back({at, path, error.message, false}); }

  Evaluator& evaluator_;
  const config::Aggregate& config_;
  const std::string path_;
  std::vector<config::Problem>& problems_;
  const bool subtractable_;
  std::unique_ptr<Plan> plan_;
  std::map<std::string, std::string> aliases_;  // a field of `select`: its rewritten expression
};

// Is the expression, on its own, nothing but a field?
result<std::string> bare_field(Evaluator& evaluator, const std::string& sql) {
  auto text = SqlText::analyse(sql);
  if (!text) return text.error();
  Group probe(evaluator);
  if (auto added = probe.add(ItemKind::json, sql); !added) return added.error();
  const bool bare = !text->bare_field.empty() && probe.fields().size() == 1 && probe.fields()[0] == text->bare_field;
  return bare ? text->bare_field : std::string();
}

result<std::size_t> Compiler::add_argument(const std::string& sql, const std::string& written, unsigned needs) {
  auto text = canonical(sql);
  if (!text) return text.error();
  auto& arguments = plan_->arguments;
  auto found = std::find_if(arguments.begin(), arguments.end(), [&](const Argument& one) { return one.canonical == *text; });
  if (found == arguments.end()) {
    auto bare = bare_field(evaluator_, sql);
    if (!bare) return refused(written + ": " + bare.error().message);
    Argument argument;
    argument.canonical = *text;
    argument.written = written;
    argument.bare_field = *bare;
    if (bare->empty()) {
      if (plan_->arguments_group == nullptr) plan_->arguments_group = std::make_unique<Group>(evaluator_);
      argument.item = plan_->arguments_group->size();
      if (auto added = plan_->arguments_group->add(ItemKind::json, sql); !added) return refused(written + ": " + added.error().message);
    }
    found = arguments.insert(arguments.end(), std::move(argument));
  }
  found->needs |= needs;
  return static_cast<std::size_t>(found - arguments.begin());
}

// A number that no record is needed for: 95, -1.5, 24 * 60.
result<double> Compiler::constant(const std::string& sql, const std::string& written) {
  Group group(evaluator_);
  if (auto added = group.add(ItemKind::json, sql); !added) return refused(written + ": " + added.error().message);
  if (!group.fields().empty()) return refused(fmt::format("{}: '{}' is a field, expected a number that is the same for all records", written, group.fields()[0]));
  if (auto prepared = group.prepare(); !prepared) return prepared.error();
  const Outcome outcome = group.run(Row());
  double number = 0;
  if (outcome.kind == Outcome::Kind::passed) {
    const std::string_view text = group.results()[0].text;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
    if (parsed.ec == std::errc() && parsed.ptr == text.data() + text.size()) return number;
  }
  return refused(fmt::format("{}: '{}' is no number", written, sql));
}

result<std::size_t> Compiler::add_call(const CallText& text) {
  const Function& function = *find_function(text.function);
  if (function.per_window && !windowed()) return refused(text.written + ": needs a window, whose length it divides by");
  std::vector<double> constants;
  for (std::size_t i = 1; i < text.arguments.size(); ++i) {
    auto number = constant(text.arguments[i], text.written);
    if (!number) return number.error();
    constants.push_back(*number);
  }
  const bool of_all = text.arguments.empty();
  auto accumulator = make_accumulator(function, of_all, constants);
  if (!accumulator) return accumulator.error();
  if (subtractable_ && !(*accumulator)->subtractable())
    return refused(text.written + ": cannot take back what a table's row no longer says; of a table: count, sum, avg, collect, histogram");
  if (subtractable_ && !of_all)
    if (const auto argument = SqlText::analyse(text.arguments[0]); argument && argument->clock)
      return refused(text.written + ": " + kReadsClock);
  SlotPlan slot;
  slot.canonical = of_all ? "count(*)" : std::string(function.slot) + "(";
  if (!of_all) {
    auto argument = add_argument(text.arguments[0], text.written, (*accumulator)->needs());
    if (!argument) return argument.error();
    slot.argument = *argument;
    slot.canonical += plan_->arguments[*argument].canonical;
    if (constants_in_slot(function))
      for (const double number : constants) slot.canonical += fmt::format(", {}", number);
    slot.canonical += ")";
  }
  slot.accumulator = std::move(*accumulator);
  auto& slots = plan_->slots;
  auto found = std::find_if(slots.begin(), slots.end(), [&](const SlotPlan& one) { return one.canonical == slot.canonical; });
  if (found == slots.end()) found = slots.insert(slots.end(), std::move(slot));
  if (plan_->calls.size() == kMaxCalls) return refused(fmt::format("more than {} aggregate calls in one step", kMaxCalls));
  const double parameter = function.ask != Ask::quantile ? 0 : constants.empty() ? 50 : constants[0];
  plan_->calls.push_back({static_cast<std::size_t>(found - slots.begin()), function.ask, parameter});
  return plan_->calls.size() - 1;
}

result<Compiler::Rewritten> Compiler::rewrite(const std::string& sql, bool having) {
  auto calls = find_calls(sql);
  if (!calls) return calls.error();
  if (auto text = SqlText::analyse(sql); !text) {
    return text.error();
  } else {
    for (const std::string& name : text->names)
      if (name.rfind(kInternal, 0) == 0) return refused("'" + name + "': names that begin so are for rivulet itself; use rename on the field first");
  }
  Rewritten rewritten;
  for (const CallText& call : *calls) {
    auto index = add_call(call);
    if (!index) return index.error();
    rewritten.calls.push_back(*index);
  }
  // A list as JSON, so that json_object('all', collect(x)) holds a list and not its text.
  const auto name_of = [&](std::size_t i) {
    const std::string name = std::string(kInternal) + std::to_string(rewritten.calls[i]);
    return find_function((*calls)[i].function)->json ? "json(" + name + ")" : name;
  };
  auto text = replace_calls(sql, *calls, name_of, [&](const std::string& name) {
    const auto alias = aliases_.find(name);
    return having && alias != aliases_.end() ? "(" + alias->second + ")" : std::string();
  });
  if (!text) return text.error();
  rewritten.sql = *text;
  auto left = SqlText::analyse(*text);
  rewritten.only_a_call = calls->size() == 1 && left && left->bare_field == std::string(kInternal) + std::to_string(rewritten.calls[0]);
  if (calls->size() == 1 && find_function((*calls)[0].function)->json) {
    auto whole = canonical(sql);
    rewritten.only_a_call = whole && *whole == *canonical((*calls)[0].written);
  }
  return rewritten;
}

result<void> Compiler::check_outer(const std::string& field) const {
  if (field == "key" || field.rfind(kInternal, 0) == 0) return {};
  if (field == "window_start" || field == "window_end") {
    if (windowed()) return {};
    return refused("'" + field + "': there is no window here");
  }
  return refused(fmt::format("'{}' stands outside of an aggregate, where it is not the same for all records; first({}) or last({}) picks one", field, field, field));
}

result<void> Compiler::add_outer(ItemKind kind, const std::string& sql, const std::string& name) {
  Group probe(evaluator_);
  if (auto added = probe.add(kind, sql); !added) {
    if (added.error().message.find("misuse of aggregate") == std::string::npos) return added;
    return refused(added.error().message.substr(0, added.error().message.find(';')) + "; of SQLite's own aggregates and others there are here: " + function_names());
  }
  for (const std::string& field : probe.fields())
    if (auto good = check_outer(field); !good) return good;
  if (plan_->outer == nullptr) plan_->outer = std::make_unique<Group>(evaluator_);
  plan_->item_names.push_back(name);
  return plan_->outer->add(kind, sql);
}

result<void> Compiler::add_output(const config::Assignment& field) {
  auto rewritten = rewrite(field.expression.sql, false);
  if (!rewritten) return rewritten.error();
  aliases_[field.field] = rewritten->sql;
  Output output;
  codec::append_json_string(output.quoted, field.field);
  plan_->names_start = plan_->names_start || field.field == "window_start";
  plan_->names_end = plan_->names_end || field.field == "window_end";
  if (rewritten->only_a_call) {
    output.what = What::call;
    output.index = rewritten->calls[0];
  } else {
    auto bare = bare_field(evaluator_, rewritten->sql);
    if (bare && !bare->empty() && check_outer(*bare)) {
      output.what = *bare == "key" ? What::key : *bare == "window_start" ? What::window_start : What::window_end;
    } else {
      output.index = plan_->item_names.size();
      if (auto added = add_outer(ItemKind::json, rewritten->sql, "select." + field.field); !added) return added;
    }
  }
  const bool bound = field.field == "window_start" || field.field == "window_end";
  if (bound && windowed() && output.what != (field.field == "window_start" ? What::window_start : What::window_end))
    return refused("'" + field.field + "' is a field of the window's own; expected another name (or '" + field.field + "' itself, to place it)");
  plan_->outputs.push_back(std::move(output));
  return {};
}

// What the calls' names, key and window bounds in the outer expressions stand for; and where each slot lies in a state.
void Compiler::finish() {
  if (plan_->outer != nullptr) {
    for (const std::string& field : plan_->outer->fields()) {
      OuterField& outer = plan_->outer_fields.emplace_back(OuterField{FieldName(field), What::call, 0});
      if (field == "key") outer.what = What::key;
      else if (field == "window_start") outer.what = What::window_start;
      else if (field == "window_end") outer.what = What::window_end;
      else outer.call = static_cast<std::size_t>(std::stoul(field.substr(kInternal.size())));
    }
  }
  // By name, so that the order in `select` makes no difference to the state.
  auto& slots = plan_->slots;
  std::vector<std::size_t> order(slots.size()), place(slots.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return slots[a].canonical < slots[b].canonical; });
  std::vector<SlotPlan> sorted;
  plan_->definition = "aggregates 1\n";
  for (std::size_t i = 0; i < order.size(); ++i) {
    place[order[i]] = i;
    SlotPlan& slot = sorted.emplace_back(std::move(slots[order[i]]));
    slot.words_at = plan_->words;
    plan_->words += slot.accumulator->words();
    slot.part_at = slot.accumulator->has_part() ? plan_->parts++ : kNone;
    plan_->definition += slot.canonical + "\n";
  }
  slots = std::move(sorted);
  plan_->zeros.resize(plan_->words);
  for (Call& call : plan_->calls) call.slot = place[call.slot];
}

std::unique_ptr<Plan> Compiler::run() {
  const std::size_t before = problems_.size();
  // `having` comes first where it is evaluated, but may name what `select` makes: so the outer group is made twice.
  for (const config::Assignment& field : config_.select)
    if (auto added = add_output(field); !added) problem(field.expression.at, path_ + ".select." + field.field, added.error());
  if (config_.having && problems_.size() == before)
    if (auto added = add_having(config_.having->sql); !added) problem(config_.having->at, path_ + ".having", added.error());
  for (Group* group : {plan_->arguments_group.get(), plan_->outer.get()}) {
    if (group == nullptr || problems_.size() > before) continue;
    if (auto prepared = group->prepare(); !prepared) problem(config_.select.empty() ? config_.having->at : config_.select.front().expression.at, path_ + ".select", prepared.error());
  }
  if (problems_.size() > before) return nullptr;
  finish();
  return std::move(plan_);
}

result<void> Compiler::add_having(const std::string& sql) {
  auto condition = rewrite(sql, true);
  if (!condition) return condition.error();
  plan_->having = true;
  plan_->outer = nullptr;
  plan_->item_names.clear();
  if (auto added = add_outer(ItemKind::condition, condition->sql, "having"); !added) return added;
  for (std::size_t i = 0; i < plan_->outputs.size(); ++i) {
    Output& output = plan_->outputs[i];
    if (output.what != What::expression) continue;
    output.index = plan_->item_names.size();
    if (auto added = add_outer(ItemKind::json, aliases_.at(config_.select[i].field), "select." + config_.select[i].field); !added) return added;
  }
  return {};
}

}  // namespace

std::unique_ptr<Plan> compile(Evaluator& evaluator, const config::Aggregate& config, const std::string& path, std::vector<config::Problem>& problems, bool subtractable) {
  return Compiler(evaluator, config, path, problems, subtractable).run();
}

}  // namespace rivulet::pipeline::aggregate
