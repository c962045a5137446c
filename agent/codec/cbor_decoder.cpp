// CBOR (RFC 8949) as JSON, as its section 6.1 advises, but for what README.md in this folder says.
//
// libcbor reads item by item, without allocating; what is nested is kept track of here, so that a length that the input only claims costs nothing.
#include <cbor.h>
#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "agent/codec/decoder.h"

namespace rivulet::codec {
namespace {

constexpr std::size_t kMaxBignumBytes = 64;  // 154 digits

Error wrong(std::string what) { return {ErrorCode::invalid, "no CBOR: " + std::move(what)}; }

struct Item {
  enum class Kind { nothing, positive, negative, bytes, bytes_start, text, text_start, array, array_start, map, map_start, tag, real, null, boolean, stop } kind = Kind::nothing;
  std::uint64_t number = 0;  // of negative: -1 - number
  double real = 0;
  std::string_view text;
};
using Kind = Item::Kind;

Item& item_of(void* context) { return *static_cast<Item*>(context); }
template <Kind kind, class Number>
void on_number(void* context, Number number) { item_of(context).kind = kind, item_of(context).number = number; }
template <Kind kind>
void on_text(void* context, cbor_data data, std::size_t size) { item_of(context).kind = kind, item_of(context).text = {reinterpret_cast<const char*>(data), size}; }
template <Kind kind>
void on_word(void* context) { item_of(context).kind = kind; }
template <class Real>
void on_real(void* context, Real real) { item_of(context).kind = Kind::real, item_of(context).real = static_cast<double>(real); }

const cbor_callbacks kCallbacks = [] {
  cbor_callbacks to{};
  to.uint8 = on_number<Kind::positive, std::uint8_t>;
  to.uint16 = on_number<Kind::positive, std::uint16_t>;
  to.uint32 = on_number<Kind::positive, std::uint32_t>;
  to.uint64 = on_number<Kind::positive, std::uint64_t>;
  to.negint8 = on_number<Kind::negative, std::uint8_t>;
  to.negint16 = on_number<Kind::negative, std::uint16_t>;
  to.negint32 = on_number<Kind::negative, std::uint32_t>;
  to.negint64 = on_number<Kind::negative, std::uint64_t>;
  to.byte_string_start = on_word<Kind::bytes_start>;
  to.byte_string = on_text<Kind::bytes>;
  to.string_start = on_word<Kind::text_start>;
  to.string = on_text<Kind::text>;
  to.indef_array_start = on_word<Kind::array_start>;
  to.array_start = on_number<Kind::array, std::size_t>;
  to.indef_map_start = on_word<Kind::map_start>;
  to.map_start = on_number<Kind::map, std::size_t>;
  to.tag = on_number<Kind::tag, std::uint64_t>;
  to.float2 = on_real<float>;
  to.float4 = on_real<float>;
  to.float8 = on_real<double>;
  to.undefined = on_word<Kind::null>;
  to.null = on_word<Kind::null>;
  to.boolean = [](void* context, bool yes) { item_of(context).kind = Kind::boolean, item_of(context).number = yes ? 1 : 0; };
  to.indef_break = on_word<Kind::stop>;
  return to;
}();

// Whether a head claims 2^32 bytes, elements or pairs or more. No record is so long, and libcbor gives its length as a size_t, which cuts it where
// that has 32 bits: 2^32 + 1 bytes of text would be one.
bool claims_4_gi(std::string_view head) {
  const auto major = static_cast<unsigned char>(head[0]) >> 5, length = static_cast<unsigned char>(head[0]) & 31;
  return major >= 2 && major <= 5 && length == 27 && head.size() >= 5 && head.substr(1, 4) != std::string_view("\0\0\0\0", 4);
}

result<Item> next_item(std::string_view& rest) {
  if (rest.empty() || claims_4_gi(rest)) return wrong("it ends too early");
  Item item;
  const auto first = static_cast<unsigned char>(rest[0]);
  const auto second = rest.size() > 1 ? static_cast<unsigned char>(rest[1]) : 0U;
  if ((first >= 0xE0 && first < 0xF4) || (first == 0xF8 && second >= 32)) {  // simple values without a meaning
    rest.remove_prefix(first == 0xF8 ? 2 : 1);
    item.kind = Kind::null;
    return item;
  }
  const cbor_decoder_result read = cbor_stream_decode(reinterpret_cast<cbor_data>(rest.data()), rest.size(), &kCallbacks, &item);
  if (read.status == CBOR_DECODER_NEDATA) return wrong("it ends too early");
  if (read.status != CBOR_DECODER_FINISHED || item.kind == Kind::nothing || read.read == 0 || read.read > rest.size()) return wrong(fmt::format("the byte 0x{:02x} begins nothing", first));
  rest.remove_prefix(read.read);
  return item;
}

enum class Encoding { base64url, base64, base16 };  // RFC 8949 section 3.4.5.2: tags 21, 22, 23

void append_encoded(std::string& to, std::string_view bytes, Encoding encoding) {
  to += '"';
  if (encoding == Encoding::base16) {
    for (const char c : bytes) fmt::format_to(std::back_inserter(to), "{:02X}", static_cast<unsigned>(static_cast<unsigned char>(c)));
  } else {
    const char* const digits = encoding == Encoding::base64 ? "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/" : "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (std::size_t i = 0; i < bytes.size(); i += 3) {
      const std::size_t count = std::min<std::size_t>(3, bytes.size() - i);
      std::uint32_t three = 0;
      for (std::size_t k = 0; k < 3; ++k) three = three << 8 | (k < count ? static_cast<unsigned char>(bytes[i + k]) : 0U);
      for (std::size_t k = 0; k <= count; ++k) to += digits[three >> (18 - 6 * k) & 63];
      if (encoding == Encoding::base64) to.append(3 - count, '=');
    }
  }
  to += '"';
}

// A bignum in decimal digits; `more`: plus one.
void append_decimal(std::string& to, std::string_view bytes, bool more) {
  std::vector<std::uint32_t> number{0};  // nine digits each, the lowest first
  for (const char c : bytes) {
    std::uint64_t carry = static_cast<unsigned char>(c);
    for (std::uint32_t& part : number) {
      carry += std::uint64_t{part} << 8;
      part = static_cast<std::uint32_t>(carry % 1'000'000'000);
      carry /= 1'000'000'000;
    }
    if (carry != 0) number.push_back(static_cast<std::uint32_t>(carry));
  }
  std::uint64_t carry = more ? 1 : 0;
  for (std::uint32_t& part : number) {
    carry += part;
    part = static_cast<std::uint32_t>(carry % 1'000'000'000);
    carry /= 1'000'000'000;
  }
  if (carry != 0) number.push_back(static_cast<std::uint32_t>(carry));
  to += std::to_string(number.back());
  for (std::size_t i = number.size() - 1; i-- > 0;) fmt::format_to(std::back_inserter(to), "{:09}", number[i]);
}

void append_integer(std::string& to, const Item& item) {
  if (item.kind == Kind::positive) to += std::to_string(item.number);
  else if (item.number == UINT64_MAX) to += "-18446744073709551616";
  else to += '-' + std::to_string(item.number + 1);
}

// One data item as JSON.
class Writer {
 public:
  Writer(std::string_view& rest, JsonObject& to, std::string& buffer) : rest_(rest), object_(to), buffer_(buffer) {}

  result<void> run() {
    do {
      auto item = next_item(rest_);
      if (!item) return item.error();
      if (auto written = write(*item); !written) return written;
    } while (!done_);
    return {};
  }

 private:
  struct Open {  // an array or map that has not ended
    bool map = false, counted = false, first = true;
    bool value = false;      // of a map: its key was there
    std::uint64_t left = 0;  // counted: items, of a map keys and values
    Encoding encoding = Encoding::base64url;
  };

  result<void> write(Item item) {
    if (item.kind == Kind::tag) return tag(item.number);
    if (item.kind == Kind::stop) return stop();
    if (open_.size() + 1 > static_cast<std::size_t>(kMaxDepth)) return wrong(fmt::format("nested deeper than {} levels", kMaxDepth));
    if (auto joined = join(item); !joined) return joined;
    if (bignum_ != 0 && item.kind != Kind::bytes) return wrong("a bignum's tag stands before something else than bytes");
    if (!open_.empty() && open_.back().map && !open_.back().value) return key(item);
    return value(item);
  }

  result<void> tag(std::uint64_t number) {
    bignum_ = number == 2 || number == 3 ? static_cast<int>(number) : 0;
    if (number >= 21 && number <= 23) encoding_ = number == 21 ? Encoding::base64url : number == 22 ? Encoding::base64 : Encoding::base16;
    tagged_ = true;
    return {};
  }

  // A text or bytes of unknown length: its chunks up to the break.
  result<void> join(Item& item) {
    if (item.kind != Kind::text_start && item.kind != Kind::bytes_start) return {};
    const Kind kind = item.kind == Kind::text_start ? Kind::text : Kind::bytes;
    buffer_.clear();
    for (;;) {
      auto chunk = next_item(rest_);
      if (!chunk) return chunk.error();
      if (chunk->kind == Kind::stop) break;
      if (chunk->kind != kind) return wrong("text or bytes in chunks hold something else");
      if (kind == Kind::text && !is_utf8(chunk->text)) return wrong("text that is not valid UTF-8");
      buffer_ += chunk->text;
    }
    item.kind = kind;
    item.text = buffer_;
    return {};
  }

  result<void> key(const Item& item) {
    std::string number;
    std::string_view name = item.text;
    if (item.kind == Kind::positive || item.kind == Kind::negative) {
      append_integer(number, item);
      name = number;
    } else if (item.kind != Kind::text) {
      return wrong("a map's key is neither text nor an integer");
    } else if (!is_utf8(name)) {
      return wrong("text that is not valid UTF-8");
    }
    Open& map = open_.back();
    if (open_.size() == 1) {
      if (object_.fields_begun() == kMaxFields) return wrong(fmt::format("more than {} fields", kMaxFields));
      out_ = &object_.begin_field(name);
    } else {
      if (!map.first) *out_ += ',';
      append_json_utf8(*out_, name);
      *out_ += ':';
    }
    map.first = false;
    map.value = true;
    if (map.counted) --map.left;
    untag();
    return {};
  }

  result<void> value(const Item& item) {
    const bool top = open_.empty();
    if (item.kind == Kind::map || item.kind == Kind::map_start || item.kind == Kind::array || item.kind == Kind::array_start) {
      const bool map = item.kind == Kind::map || item.kind == Kind::map_start;
      const bool counted = item.kind == Kind::map || item.kind == Kind::array;
      if (counted && item.number > rest_.size()) return wrong("it ends too early");  // each item has a byte
      comma();
      if (top && map) object_.begin();
      else *(top ? out_ = &object_.other() : out_) += map ? '{' : '[';
      open_.push_back({map, counted, true, false, map ? 2 * item.number : item.number, encoding_});
      untag();
      return end_counted();
    }
    if (item.kind == Kind::text && !is_utf8(item.text)) return wrong("text that is not valid UTF-8");
    if (bignum_ != 0 && item.text.size() > kMaxBignumBytes) return wrong(fmt::format("a bignum of more than {} bytes", kMaxBignumBytes));
    comma();
    if (top) out_ = &object_.other();
    std::string& to = *out_;
    switch (item.kind) {
      case Kind::positive:
      case Kind::negative: append_integer(to, item); break;
      case Kind::text: append_json_utf8(to, item.text); break;
      case Kind::bytes:
        if (bignum_ == 0) {
          append_encoded(to, item.text, encoding_);
        } else {
          if (bignum_ == 3) to += '-';
          append_decimal(to, item.text, bignum_ == 3);
        }
        break;
      case Kind::real:
        if (std::isfinite(item.real)) append_json_double(to, item.real);
        else to += "null";
        break;
      case Kind::boolean: to += item.number != 0 ? "true" : "false"; break;
      default: to += "null";
    }
    untag();
    return ended();
  }

  void comma() {
    if (open_.empty() || open_.back().map) return;
    if (!open_.back().first) *out_ += ',';
    open_.back().first = false;
  }
  void untag() {
    tagged_ = false;
    bignum_ = 0;
    encoding_ = open_.empty() ? Encoding::base64url : open_.back().encoding;
  }

  result<void> stop() {
    if (open_.empty() || open_.back().counted || tagged_) return wrong("a break stands where nothing without a length is open");
    if (open_.back().value) return wrong("a map's last key has no value");
    return close();
  }
  // A value is complete; what it completes with it.
  result<void> ended() {
    if (open_.empty()) {
      done_ = true;
      return {};
    }
    Open& in = open_.back();
    if (in.map) in.value = false;
    if (in.counted) --in.left;
    return end_counted();
  }
  result<void> end_counted() {
    if (!open_.empty() && open_.back().counted && open_.back().left == 0) return close();
    return {};
  }
  result<void> close() {
    const bool map = open_.back().map;
    open_.pop_back();
    untag();
    if (!open_.empty() || !map) {
      *out_ += map ? '}' : ']';
    } else if (auto ended = object_.end(); !ended) {
      return wrong(ended.error().message);
    }
    return ended();
  }

  std::string_view& rest_;
  JsonObject& object_;
  std::string& buffer_;
  std::string* out_ = nullptr;
  std::vector<Open> open_;
  bool done_ = false, tagged_ = false;
  int bignum_ = 0;  // its tag
  Encoding encoding_ = Encoding::base64url;
};

class CborDecoder final : public Decoder {
 protected:
  result<Found> take(JsonObject& to) override {
    auto written = Writer(rest_, to, buffer_).run();
    const bool more = !rest_.empty();
    rest_ = {};
    if (buffer_.capacity() > kMaxHeaderBytes) buffer_ = std::string();
    if (!written) return written.error();
    if (more) return wrong("more bytes after the value");
    return Found::record;
  }

 private:
  std::string buffer_;
};

}  // namespace

std::unique_ptr<Decoder> make_cbor_decoder() { return std::make_unique<CborDecoder>(); }

}  // namespace rivulet::codec
