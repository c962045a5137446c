// rivulet: the command line. Each command is a function of commands.h.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <limits>
#include <string_view>

#include "agent/app/commands.h"
#include "agent/app/logging.h"
#include "agent/app/printable.h"
#include "agent/app/process.h"
#include "store/sqlite.h"

namespace {

using namespace rivulet::app;

const CLI::Range kFromOne(std::int64_t{1}, std::numeric_limits<std::int64_t>::max(), "NUMBER");

void add_config(CLI::App& command, std::string& config) {
  command.add_option("-c,--config", config, "the configuration file")->capture_default_str()->type_name("FILE");
}

void add_quarantine(CLI::App& app, QuarantineOptions& options, int& code) {
  using Action = QuarantineOptions::Action;
  CLI::App* quarantine = app.add_subcommand("quarantine", "records that could not go on: look at them, let them go on, drop them");
  quarantine->require_subcommand(1);
  const auto add = [&](const char* name, const char* help, Action action) {
    CLI::App* command = quarantine->add_subcommand(name, help);
    add_config(*command, options.config);
    command->callback([&options, &code, action] {
      options.action = action;
      if (options.last == 0) options.last = options.first;
      code = command_quarantine(options);
    });
    return command;
  };
  add("list", "the oldest records, one a line", Action::list)->add_option("--limit", options.limit, "how many")->capture_default_str()->check(kFromOne);
  for (CLI::App* command : {add("show", "one record, or those from FIRST to LAST, whole", Action::show),
                            add("drop", "removes one record, or those from FIRST to LAST (the agent must be stopped)", Action::drop)}) {
    command->add_option("FIRST", options.first, "an id of `quarantine list`")->required()->check(kFromOne);
    command->add_option("LAST", options.last, "default: FIRST")->check(kFromOne);
  }
  CLI::App* retry = add("retry", "one record, those from FIRST to LAST, or all go on from where they failed, as the pipelines are configured now (the agent must be stopped)", Action::retry);
  retry->add_option("FIRST", options.first, "an id of `quarantine list`; default: all")->check(kFromOne);
  retry->add_option("LAST", options.last, "default: FIRST")->check(kFromOne);
}

void add_state(CLI::App& app, StateOptions& options, int& code) {
  using Action = StateOptions::Action;
  CLI::App* state = app.add_subcommand("state", "what stateful steps keep: look at it, drop it, let a step begin anew");
  state->require_subcommand(1);
  const auto add = [&](const char* name, const char* help, Action action) {
    CLI::App* command = state->add_subcommand(name, help);
    add_config(*command, options.config);
    command->callback([&options, &code, action] {
      options.action = action;
      code = command_state(options);
    });
    return command;
  };
  add("list", "the steps that keep state, and how much", Action::list);
  for (CLI::App* command : {add("drop", "removes the state of a step that the configuration no longer has (the agent must be stopped)", Action::drop),
                            add("reset", "removes the state of a step, which begins anew (the agent must be stopped)", Action::reset),
                            add("reset-time", "takes back a stream time that a wrong clock has set (the agent must be stopped)", Action::reset_time)}) {
    command->add_option("PIPELINE", options.pipeline, "its pipeline")->required();
    command->add_option("STEP", options.step, "its name; by default its kind")->required();
  }
}

void add_query(CLI::App& app, QueryOptions& options, bool& json, bool& csv, int& code) {
  CLI::App* query = app.add_subcommand("query", "SQL over what stateful steps keep, while the agent runs; without SQL: the tables and their columns");
  add_config(*query, options.config);
  query->add_option("SQL", options.sql, "one SELECT, as SQLite has it");
  auto* as_json = query->add_flag("--json", json, "one object a line");
  query->add_flag("--csv", csv, "as RFC 4180 has it, with a head")->excludes(as_json);
  query->footer(
      "Each stateful step is a table \"PIPELINE.STEP\" (in double quotes), and PIPELINE where it is the only one of its pipeline. Columns: key; window_start and\n"
      "window_end where there are windows, as in the results (the end is exclusive, of sliding windows and sessions inclusive); what the step selects, as it\n"
      "would emit it now; ts, the latest timestamp. true and false are 1 and 0, lists and objects JSON text.\n"
      "outbox and quarantine are tables too: what waits for Kafka or a local output, and what could not go on. `rivulet query` without SQL lists all tables with their columns.\n"
      "Everything is as of one commit. A query has 5 s. WHERE key = '...' is fast but for tumbling and hopping windows.");
  query->callback([&] {
    options.format = json ? QueryFormat::json : csv ? QueryFormat::csv : QueryFormat::text;
    code = command_query(options);
  });
}

// Says so where a word stands in the place of a command and is none.
bool names_no_command(const CLI::App& app, int argc, char** argv) {
  const CLI::App* at = &app;
  std::string before = "rivulet";
  for (int i = 1; i < argc && argv[i][0] != '-'; ++i) {
    const std::string_view word = argv[i];
    const CLI::App* next = nullptr;
    std::string all;
    for (const CLI::App* command : at->get_subcommands([](const CLI::App*) { return true; })) {
      if (command->get_name() == word) next = command;
      all += (all.empty() ? "" : ", ") + command->get_name();
    }
    if (all.empty()) return false;
    if (next == nullptr) {
      std::fprintf(stderr, "'%s' is no command of %s, expected one of: %s (`%s --help` says what they do)\n", escaped(word).c_str(), before.c_str(), all.c_str(), before.c_str());
      return true;
    }
    before += " " + next->get_name();
    at = next;
  }
  return false;
}

int run(int argc, char** argv) {
  CLI::App app("rivulet: records from local sources through SQLite to Kafka, exactly once", "rivulet");
  app.set_version_flag("--version", "rivulet " RIVULET_VERSION);
  app.require_subcommand(1);
  int code = kDone;

  RunOptions run_options;
  std::int64_t drain_s = run_options.drain_timeout_ms / 1000;
  CLI::App* run = app.add_subcommand("run", "the daemon");
  add_config(*run, run_options.config);
  run->add_option("--drain-timeout", drain_s, "seconds that Kafka is given for the rest when every source is at its end (stdin, simulate with a count)")
      ->capture_default_str()->check(CLI::Range(0, 86'400));
  run->callback([&] {
    run_options.drain_timeout_ms = drain_s * 1000;
    code = command_run(run_options);
  });

  std::string config = kDefaultConfig;
  CLI::App* check = app.add_subcommand("check", "every problem of the configuration; exit code 1 if there is any");
  add_config(*check, config);
  CheckOptions check_options;
  check->add_flag("--schema", check_options.schema, "print the JSON Schema of configurations instead, for editors");
  check->add_flag("--reference", check_options.reference, "print every setting with its default and meaning instead, as Markdown");
  check->callback([&] { code = command_check(config, check_options); });
  CLI::App* explain = app.add_subcommand("explain", "the sources, steps and topics, and what each guarantees");
  add_config(*explain, config);
  bool as_dot = false, as_mermaid = false;
  auto* dot = explain->add_flag("--dot", as_dot, "the topology as a picture for Graphviz: rivulet explain --dot | dot -Tsvg");
  explain->add_flag("--mermaid", as_mermaid, "the topology as a picture for Mermaid, which Markdown viewers show")->excludes(dot);
  explain->callback([&] { code = command_explain(config, as_dot ? ExplainAs::dot : as_mermaid ? ExplainAs::mermaid : ExplainAs::words); });

  ReplayOptions replay_options;
  CLI::App* replay = app.add_subcommand("replay", "records from standard input through the pipelines to standard output");
  replay->add_option("CONFIG", replay_options.config, "the configuration file")->required();
  replay->add_option("--epoch", replay_options.epoch_lines, "input lines of an epoch; its results are written when it ends")->capture_default_str()->check(kFromOne);
  replay->add_flag("--drops", replay_options.drops, "also say after which line records were late or dropped");
  replay->add_option("--restart-every", replay_options.restart_every, "write the state out and read it back after so many lines, as a restart does")->check(kFromOne);
  replay->footer(
      "Input, one a line: {\"source\":\"s\",\"key\":\"k\",\"value\":{...},\"ts\":1700000000000}, or {\"advance\":5000}: the clock moves on by so many ms. Key and ts are as the source's\n"
      "key and timestamp would make them, which are not applied to what is read here; without a key it is null. A text is the frame as it came where csv, influx, raw or cbor\n"
      "(hexadecimal digits) is decoded.");
  replay->callback([&] { code = command_replay(replay_options); });

  TopicsOptions topics_options;
  CLI::App* topics = app.add_subcommand("topics", "the topics and permissions that the configuration needs");
  add_config(*topics, topics_options.config);
  topics->add_flag("--create", topics_options.create, "make the missing topics");
  topics->add_option("--partitions", topics_options.partitions, "of a topic that is made")->capture_default_str()->check(CLI::Range(1, 10'000));
  topics->add_option("--replicas", topics_options.replicas, "of a topic that is made; default: the broker's")->check(CLI::Range(1, 100));
  topics->callback([&] { code = command_topics(topics_options); });

  StatusOptions status_options;
  CLI::App* status = app.add_subcommand("status", "how the running agent is; exit code 1 if something needs a look, or nobody answers; without status.listen a look at its store");
  add_config(*status, status_options.config);
  status->add_flag("--json", status_options.json, "as JSON");
  status->callback([&] { code = command_status(status_options); });

  TopOptions top_options;
  std::int64_t top_s = top_options.interval_ms / 1000;
  CLI::App* top = app.add_subcommand("top", "the running agent live in a terminal: rates, backlog, link, last errors; q or Ctrl-C ends it");
  add_config(*top, top_options.config);
  top->add_option("--interval", top_s, "seconds between two looks")->capture_default_str()->check(CLI::Range(1, 3600));
  top->callback([&] {
    top_options.interval_ms = top_s * 1000;
    code = command_top(top_options);
  });

  VerifyOptions verify_options;
  CLI::App* verify = app.add_subcommand("verify", "reads a topic and counts what is missing, doubled or out of order; exit code 1 if any is, 2 if an open transaction or retention hides whether");
  verify->add_option("--brokers", verify_options.brokers, "HOST:PORT,...; default: those of -c");
  verify->add_option("--topic", verify_options.topic, "the topic")->required();
  verify->add_option("-c,--config", verify_options.config, "a configuration, for its brokers, TLS and SASL")->type_name("FILE");
  verify->callback([&] { code = command_verify(verify_options); });

  QuarantineOptions quarantine_options;
  add_quarantine(app, quarantine_options, code);

  StateOptions state_options;
  add_state(app, state_options, code);

  QueryOptions query_options;
  bool query_json = false, query_csv = false;
  add_query(app, query_options, query_json, query_csv, code);

  AdoptOptions adopt_options;
  CLI::App* adopt = app.add_subcommand("adopt", "lets forwarding go on after an alarm about the progress topic (the agent must be stopped)");
  add_config(*adopt, adopt_options.config);
  adopt->add_flag("--yes", adopt_options.yes, "do it; without, what is known is shown");
  adopt->callback([&] { code = command_adopt(adopt_options); });

  RestoreOptions restore_options;
  CLI::App* restore = app.add_subcommand("restore", "fills an empty state folder from the changelogs in Kafka, on a replaced device (the agent must be stopped)");
  add_config(*restore, restore_options.config);
  restore->callback([&] { code = command_restore(restore_options); });

  DemoOptions demo_options;
  CLI::App* demo = app.add_subcommand("demo", "simulated sensors, an in-process Kafka, cut links, and the count of lost and doubled records");
  demo->add_option("-c,--config", demo_options.config, "the example to run; default: demo.yaml of the installation or the source tree")->type_name("FILE");
  demo->add_option("--brokers", demo_options.brokers, "HOST:PORT of a real Kafka instead of the in-process one");
  demo->add_option("--seconds", demo_options.seconds, "how long")->capture_default_str()->check(CLI::Range(1, 3600));
  demo->callback([&] { code = command_demo(demo_options); });

  if (names_no_command(app, argc, argv)) return kCannot;
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kDone : kCannot;  // --help and --version come this way too
  }
  return code;
}

// What was printed and could not be written was not done.
int written(int code) {
  if (std::fflush(stdout) == 0) return code;
  std::fprintf(stderr, "writing the output: %s\n", std::strerror(errno));
  return std::max(code, kCannot);
}

}  // namespace

int main(int argc, char** argv) {
  open_standard_files();
  keep_memory_small();
  rivulet::store::start_sqlite();
  set_up_logging(LogTo::standard_error, "warning");  // `run` sets its own
  try {
    return written(run(argc, argv));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "rivulet: %s\n", error.what());
    return kCannot;
  }
}
