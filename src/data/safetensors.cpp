// Format: 8 bytes little-endian length of the header; the header, a JSON object {name: {dtype, shape, data_offsets
// [begin, end)}, "__metadata__": {string: string}}, padded by spaces; the tensors, little-endian, without gaps. Offsets
// count from the header's end.
#include "src/data/safetensors.h"

#include <ganforge/error.h>

#include "src/data/atomic_file.h"
#include "src/data/byte_source.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <zlib.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <exception>
#include <set>
#include <string_view>

namespace ganforge {
namespace {

static_assert(std::endian::native == std::endian::little, "values are written as they lie in memory");

constexpr const char* metadata_key = "__metadata__";
constexpr const char* checksum_key = "ganforge.checksum";
// Unescaped quotes cannot stand within a JSON string, so in a valid header this is a key and the start of its value.
constexpr std::string_view checksum_field = "\"ganforge.checksum\":\"";
constexpr std::string_view no_digits = "00000000";
constexpr std::size_t length_bytes = 8;
constexpr std::uint64_t max_header = 100'000'000;  // as in the reference implementation

struct Name {
  DType type;
  const char* name;
};
constexpr Name dtypes[] = {{DType::float32, "F32"},
                           {DType::float64, "F64"},
                           {DType::uint8, "U8"},
                           {DType::int32, "I32"},
                           {DType::int64, "I64"}};

std::string dtype_name(DType type) {
  return std::find_if(std::begin(dtypes), std::end(dtypes), [&](const Name& n) { return n.type == type; })->name;
}

std::string digits(unsigned long crc) {
  return fmt::format("{:08x}", crc);
}

unsigned long add_crc(unsigned long crc, const void* bytes, std::size_t count) {
  // zlib takes a null pointer, which empty tensors may have, as a request to start anew.
  return count == 0 ? crc : crc32_z(crc, static_cast<const Bytef*>(bytes), count);
}

std::string make_header(std::span<const TensorSource> tensors, const Metadata& metadata) {
  nlohmann::ordered_json header;
  header[metadata_key] = metadata;
  header[metadata_key][checksum_key] = no_digits;
  std::uint64_t end = 0;
  for (const TensorSource& tensor : tensors) {
    if (header.contains(tensor.name)) throw Error(fmt::format("two tensors are named '{}'", tensor.name));
    const std::uint64_t begin = end;
    end += tensor.type.bytes();
    const std::span<const std::int64_t> extents = tensor.type.shape.extents();
    header[tensor.name] = {{"dtype", dtype_name(tensor.type.dtype)},
                           {"shape", std::vector<std::int64_t>(extents.begin(), extents.end())},
                           {"data_offsets", {begin, end}}};
  }
  std::string text = header.dump();
  constexpr std::size_t alignment = 64;
  text.append((alignment - (length_bytes + text.size()) % alignment) % alignment, ' ');
  if (text.size() > max_header) throw Error(fmt::format("the header would have {} bytes", text.size()));
  return text;
}

/// One file being read: what is wrong with it always names it.
class Reader {
 public:
  Reader(const std::filesystem::path& path, Checksum checksum)
      : path_(path), required_(checksum == Checksum::required) {}

  Safetensors read() {
    load();
    const std::string_view header = find_header();
    const bool verified = verify(header);
    const nlohmann::json root = parse(header);
    for (const auto& [name, entry] : root.items()) {
      if (name == metadata_key) {
        read_metadata(entry);
      } else {
        read_tensor(name, entry);
      }
    }
    if ((file_.metadata.erase(checksum_key) == 1) != verified)
      fail("{} is not where its checksum belongs", checksum_key);
    check_layout();
    return std::move(file_);
  }

 private:
  template <class... Args>
  [[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) const {
    throw FormatError(fmt::format("{}: {}", path_.string(), fmt::format(format, std::forward<Args>(args)...)));
  }

  void load() {
    InputFile input(path_);
    try {
      file_.bytes.resize(input.size());
    } catch (const std::exception&) {
      fail("{} bytes do not fit into memory", input.size());
    }
    const std::size_t got = input.read(file_.bytes.data(), file_.bytes.size());
    if (got != file_.bytes.size()) fail("changed while it was read: {} of {} bytes", got, file_.bytes.size());
  }

  std::string_view find_header() {
    const std::size_t size = file_.bytes.size();
    if (size < length_bytes) fail("{} bytes are no safetensors file: cut short?", size);
    std::uint64_t length = 0;
    std::memcpy(&length, file_.bytes.data(), length_bytes);
    if (length > max_header) fail("offset 0: a header of {} bytes: not a safetensors file, or damaged", length);
    if (length > size - length_bytes) {
      fail("offset 0: a header of {} bytes in a file of {}: cut short or damaged", length, size);
    }
    data_begin_ = length_bytes + length;
    return {reinterpret_cast<const char*>(file_.bytes.data()) + length_bytes, length};
  }

  /// True if there is a checksum. It is looked at before anything else is believed.
  bool verify(std::string_view header) const {
    const std::size_t field = header.find(checksum_field);
    if (field == std::string_view::npos) {
      if (required_) fail("no {} in the header: damaged, or not written by ganforge", checksum_key);
      return false;
    }
    const std::string_view stored = header.substr(field + checksum_field.size()).substr(0, no_digits.size());
    const std::size_t begin = length_bytes + field + checksum_field.size(), end = begin + stored.size();
    unsigned long crc = crc32_z(0, nullptr, 0);
    crc = add_crc(crc, file_.bytes.data(), begin);
    crc = add_crc(crc, no_digits.data(), no_digits.size());
    crc = add_crc(crc, file_.bytes.data() + end, file_.bytes.size() - end);
    // As text: a flipped bit can make a capital of a digit.
    if (stored != digits(crc)) fail("damaged or cut short: its checksum is {}", digits(crc));
    return true;
  }

  /// nlohmann-json keeps the last of equal keys; here they are an error.
  nlohmann::json parse(std::string_view header) const {
    using Event = nlohmann::json::parse_event_t;
    std::vector<std::set<std::string>> keys;
    constexpr int deepest = 2;  // root, entry, shape: deeper nesting could only exhaust the stack
    const auto check = [&](int depth, Event event, nlohmann::json& parsed) {
      const bool starts = event == Event::object_start || event == Event::array_start;
      if (starts && depth > deepest) fail("the header is nested too deeply");
      if (event == Event::object_start) keys.emplace_back();
      if (event == Event::object_end) keys.pop_back();
      if (event == Event::key && !keys.back().insert(parsed.get<std::string>()).second) {
        fail("'{:.80}' is there twice in the header", parsed.get<std::string>());
      }
      return true;
    };
    nlohmann::json root;
    try {
      root = nlohmann::json::parse(header, check);
    } catch (const nlohmann::json::exception& error) {
      fail("the header is not JSON: {}", error.what());
    }
    if (!root.is_object()) fail("offset {}: the header is not a JSON object", length_bytes);
    return root;
  }

  void read_metadata(const nlohmann::json& entry) {
    if (!entry.is_object()) fail("{} is not an object", metadata_key);
    for (const auto& [key, value] : entry.items()) {
      if (!value.is_string()) fail("{}: '{:.80}' is not a string", metadata_key, key);
      file_.metadata[key] = value.get<std::string>();
    }
  }

  void read_tensor(const std::string& name, const nlohmann::json& entry) {
    const bool complete = entry.is_object() && entry.size() == 3 && entry.contains("dtype") &&
                          entry.contains("shape") && entry.contains("data_offsets");
    if (!complete) fail("tensor '{:.80}' is not {{dtype, shape, data_offsets}}", name);
    const auto is_count = [](const nlohmann::json& number) { return number.is_number_unsigned(); };
    const nlohmann::json &dtype = entry["dtype"], &shape = entry["shape"], &offsets = entry["data_offsets"];

    const auto known =
        std::find_if(std::begin(dtypes), std::end(dtypes), [&](const Name& n) { return dtype == n.name; });
    if (known == std::end(dtypes))
      fail("tensor '{:.80}' has dtype {:.80}, expected F32, F64, U8, I32 or I64", name, dtype.dump());
    if (!shape.is_array() || shape.size() > Shape::max_rank || !std::all_of(shape.begin(), shape.end(), is_count)) {
      fail("tensor '{:.80}' has shape {:.80}, expected at most {} counts", name, shape.dump(), +Shape::max_rank);
    }
    if (!offsets.is_array() || offsets.size() != 2 || !std::all_of(offsets.begin(), offsets.end(), is_count)) {
      fail("tensor '{:.80}' has data_offsets {:.80}, expected [begin, end]", name, offsets.dump());
    }
    const std::uint64_t begin = offsets[0], end = offsets[1], size = file_.bytes.size() - data_begin_;
    if (begin > end || end > size) fail("tensor '{:.80}' is at [{}, {}) of {} bytes", name, begin, end, size);

    std::vector<std::int64_t> extents;
    std::int64_t bytes = static_cast<std::int64_t>(size_of(known->type));
    bool overflow = false;
    for (const nlohmann::json& count : shape) {
      const auto extent = static_cast<std::int64_t>(count.get<std::uint64_t>());
      overflow |= extent < 0 || __builtin_mul_overflow(bytes, extent, &bytes);
      extents.push_back(extent);
    }
    if (overflow || static_cast<std::uint64_t>(bytes) != end - begin) {
      fail("tensor '{:.80}', {} {:.80}, does not fill its {} bytes", name, known->name, shape.dump(), end - begin);
    }
    file_.tensors.push_back({name, {known->type, Shape(extents)}, data_begin_ + begin});
  }

  /// Tensors must follow one another from the header's end to the file's, as the format demands.
  void check_layout() {
    const auto end_of = [](const Safetensors::Tensor& tensor) { return tensor.offset + tensor.type.bytes(); };
    std::sort(file_.tensors.begin(), file_.tensors.end(), [&](const auto& a, const auto& b) {
      return std::pair(a.offset, end_of(a)) < std::pair(b.offset, end_of(b));  // empty ones first
    });
    std::size_t at = data_begin_;
    for (const Safetensors::Tensor& tensor : file_.tensors) {
      if (tensor.offset < at) fail("tensor '{:.80}' at offset {} overlaps another", tensor.name, tensor.offset);
      if (tensor.offset > at) fail("offset {}: {} bytes belong to no tensor", at, tensor.offset - at);
      at = end_of(tensor);
    }
    if (at < file_.bytes.size()) fail("offset {}: {} bytes follow the last tensor", at, file_.bytes.size() - at);
  }

  std::filesystem::path path_;
  bool required_;
  Safetensors file_;
  std::size_t data_begin_ = 0;
};

}  // namespace

const Safetensors::Tensor* Safetensors::find(const std::string& name) const {
  const auto found =
      std::find_if(tensors.begin(), tensors.end(), [&](const Tensor& tensor) { return tensor.name == name; });
  return found == tensors.end() ? nullptr : &*found;
}

void write_safetensors(const std::filesystem::path& path, std::span<const TensorSource> tensors,
                       const Metadata& metadata) {
  std::string header;
  try {
    header = make_header(tensors, metadata);
  } catch (const std::exception& error) {  // nlohmann-json refuses text that is not UTF-8
    throw FormatError(fmt::format("cannot write {}: {}", path.string(), error.what()));
  }
  const std::uint64_t length = header.size();
  unsigned long crc = crc32_z(0, nullptr, 0);
  crc = add_crc(crc, &length, length_bytes);
  crc = add_crc(crc, header.data(), header.size());
  for (const TensorSource& tensor : tensors) crc = add_crc(crc, tensor.values, tensor.type.bytes());
  header.replace(header.find(checksum_field) + checksum_field.size(), no_digits.size(), digits(crc));

  AtomicFile file(path);
  file.write(&length, length_bytes);
  file.write(header);
  for (const TensorSource& tensor : tensors) file.write(tensor.values, tensor.type.bytes());
  file.commit();
}

Safetensors read_safetensors(const std::filesystem::path& path, Checksum checksum) {
  return Reader(path, checksum).read();
}

}  // namespace ganforge
