// The configuration's sections, each read from its map into its struct. Thread: one, at start-up.
#pragma once
#include "agent/config/config.h"
#include "agent/config/reader.h"

namespace rivulet::config {

void read_agent(const Value& value, Agent& agent);
void read_kafka(const Value& value, Kafka& kafka);
void read_status(const Value& value, Status& status);
void read_log(const Value& value, Log& log);
void read_sources(const Value& value, std::vector<Source>& sources);
UnixSource read_unix(const Value& value);      // socket_sources.cpp
HttpSource read_http(const Value& value);
void read_stream(const Map& map, StreamSettings& stream);  // of stream sources: all but `framing` and `tls`
std::optional<Tls> read_server_tls(const Value& value);
ExecSource read_exec(const Value& value);      // exec.cpp
SerialSource read_serial(const Value& value);  // serial.cpp
IioSource read_iio(const Value& value);        // iio.cpp
ModbusSource read_modbus(const Value& value);  // modbus.cpp
CanSource read_can(const Value& value);        // can.cpp
void read_decode(const Value& value, Source& source);  // decode.cpp; after the source's type
void read_pipelines(const Value& value, std::vector<Pipeline>& pipelines);
void read_tables(const Value& value, std::vector<LookupTable>& tables);  // lookup tables
std::optional<Tls> read_tls(const Value& value);
std::vector<Output> read_outputs(const Value& value);  // outputs.cpp
// "mqtt://host:port", "mqtts://host:port"; what is wrong was reported.
void read_mqtt_url(const Value& url, std::string& host, std::uint16_t& port, bool& tls_on);
std::optional<Login> read_mqtt_login(const Map& map);

// `scale` and `offset` of a map that has both (linear.cpp).
Linear read_linear(const Map& map);

// "host:port", "[::1]:port"; false: reported.
bool read_host_port(const Value& value, const std::string& text, std::string& host, std::uint16_t& port, std::uint16_t default_port = 0);
bool read_listen(const Value& value, const std::string& text, std::string& host, std::uint16_t& port);  // no name but localhost

std::optional<Expression> read_expression(const Value& value);
std::vector<Assignment> read_assignments(const Value& value);
Output read_output(const Value& value);
std::string read_step_name(const Map& map);
// Steps without state that have settings of their own (steps.cpp).
void read_flatten(const Value& value, Step& step);
void read_enrich(const Value& value, Step& step);
void read_clamp(const Value& value, Step& step);
void read_route(const Value& value, Step& step);
// Stateful steps (stateful.cpp).
void read_aggregate(const Value& value, Step& step);
void read_suppress(const Value& value, Step& step);
Time read_time(const Value& value);
// Tables, joins, absence (joins.cpp).
void read_table(const Value& value, Step& step);
void read_join(const Value& value, Step& step);
void read_absence(const Value& value, Step& step);
// Steps that thin out (thinning.cpp).
void read_sample(const Value& value, Step& step);
void read_dedupe(const Value& value, Step& step);
void read_deadband(const Value& value, Step& step);
void read_rate_limit(const Value& value, Step& step);
// Over one pipeline's steps: names, and what may follow what.
void check_stateful(Pipeline& pipeline, const Value& at);

// Over the whole: names unique, `from` and `with` known; pipelines are put into topological order. False: there is a cycle.
bool check_graph(Config& config, Report& report);
// After check_graph() found no cycle: what joins and aggregates read.
void check_inputs(Config& config, Report& report);
// Outputs that would meet each other, or what a source reads (outputs_check.cpp).
void check_outputs(const Config& config, Report& report);
// What only one can have, of sources, the status listener and outputs (resources.cpp).
void check_resources(const Config& config, Report& report);
std::string place(const Location& at);  // file:line

}  // namespace rivulet::config
