#include "agent/source/http/answer.h"

#include "agent/codec/json.h"

namespace rivulet::source {
namespace {

std::string_view reason(unsigned status) {
  switch (status) {
    case 200: return "OK";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 413: return "Content Too Large";
    case 415: return "Unsupported Media Type";
    case 417: return "Expectation Failed";
    case 422: return "Unprocessable Content";
    case 431: return "Request Header Fields Too Large";
    case 501: return "Not Implemented";
    case 503: return "Service Unavailable";
    case 505: return "HTTP Version Not Supported";
    default: return "Error";
  }
}

}  // namespace

Answer records_taken(std::uint64_t records, bool replayed) {
  return {200, "{\"records\":" + std::to_string(records) + "}\n", replayed ? "Idempotency-Replayed: true\r\n" : ""};
}

Answer refused(unsigned status, std::string_view why, std::uint64_t line) {
  Answer answer{status, "{\"error\":", {}};
  codec::append_json_string(answer.body, why);
  if (line > 0) answer.body += ",\"line\":" + std::to_string(line);
  answer.body += "}\n";
  return answer;
}

Answer no_room(std::string_view why, int retry_after_s) {
  Answer answer = refused(503, why);
  answer.headers = "Retry-After: " + std::to_string(retry_after_s) + "\r\n";
  return answer;
}

std::string text_of(const Answer& answer, bool last, bool body) {
  std::string text = "HTTP/1.1 " + std::to_string(answer.status) + " " + std::string(reason(answer.status)) + "\r\nContent-Type: application/json\r\nContent-Length: " +
                     std::to_string(answer.body.size()) + "\r\n" + answer.headers;
  if (last) text += "Connection: close\r\n";
  text += "\r\n";
  if (body) text += answer.body;
  return text;
}

}  // namespace rivulet::source
