#include "tests/files.h"

#include "src/data/atomic_file.h"
#include "src/data/safetensors.h"

#include <csignal>
#include <cstring>

#include <sys/resource.h>
#include <sys/stat.h>

namespace ganforge {
namespace {

using test::format_error;
using test::slurp;
using test::TemporaryFolder;
using test::write;

struct Sources {
  std::vector<float> weights = {1.5f, -2.0f, 0.0f, 3.25f, 1e-30f, -1e30f};
  std::vector<double> moments = {0.1, -0.2, 0.3};
  std::vector<std::uint8_t> bytes = {0, 255, 7};
  std::vector<std::int32_t> labels = {-1, 2147483647};
  std::int64_t tick = 1ll << 40;

  std::vector<TensorSource> all() const {
    return {{"generator/0_linear/w", {DType::float32, {2, 3}}, weights.data()},
            {"bytes", {DType::uint8, {3}}, bytes.data()},
            {"moments", {DType::float64, {3, 1}}, moments.data()},
            {"labels", {DType::int32, {2}}, labels.data()},
            {"empty", {DType::float32, {0, 4}}, nullptr},
            {"tick", {DType::int64, {}}, &tick}};
  }
};

std::string with_header(const std::string& header, const std::string& data = {}) {
  const std::uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), sizeof length) + header + data;
}

TEST(Safetensors, RoundTrip) {
  TemporaryFolder folder;
  const Sources sources;
  const Metadata metadata = {{"format", "ganforge"},
                             {"config", "lr = 1e-3\n\"quoted\": \xc3\xa9 \"ganforge.checksum\":\"ffffffff\""}};
  write_safetensors(folder / "file", sources.all(), metadata);
  const Safetensors file = read_safetensors(folder / "file");
  EXPECT_EQ(file.metadata, metadata);
  ASSERT_EQ(file.tensors.size(), sources.all().size());
  EXPECT_EQ(file.tensors[0].offset % 64, 0u);
  for (const TensorSource& source : sources.all()) {
    const Safetensors::Tensor* tensor = file.find(source.name);
    ASSERT_NE(tensor, nullptr) << source.name;
    EXPECT_EQ(tensor->type, source.type);
    if (source.type.bytes() == 0) continue;
    EXPECT_EQ(std::memcmp(file.data(*tensor), source.values, source.type.bytes()), 0) << source.name;
  }
  EXPECT_EQ(file.find("absent"), nullptr);
  EXPECT_EQ(folder.entries(), 1);
}

TEST(Safetensors, NothingToSave) {
  TemporaryFolder folder;
  write_safetensors(folder / "file", {}, {});
  EXPECT_TRUE(read_safetensors(folder / "file").tensors.empty());
}

TEST(Safetensors, EveryFlippedBitAndEveryTruncationIsOneError) {
  TemporaryFolder folder;
  const Sources sources;
  const std::string path = (folder / "file").string();
  write_safetensors(path, sources.all(), {{"step", "17"}});
  const std::string whole = slurp(path);
  const auto expect_error = [&](const std::string& what) {
    const std::string message = format_error([&] { read_safetensors(path); });
    EXPECT_EQ(message.rfind(path + ": ", 0), 0u) << what << ": " << message;
  };
  for (std::size_t bit = 0; bit < 8 * whole.size(); ++bit) {
    test::flip_bit(path, bit);
    expect_error("bit " + std::to_string(bit));
    test::flip_bit(path, bit);
  }
  EXPECT_EQ(slurp(path), whole);
  for (std::size_t length = whole.size(); length-- > 0;) {
    std::filesystem::resize_file(path, length);
    expect_error("length " + std::to_string(length));
  }
  write(path, whole + '\0');
  expect_error("a byte more");
}

TEST(Safetensors, FilesOfOtherProgramsHaveNoChecksum) {
  TemporaryFolder folder;
  const std::string header =
      R"({"b":{"dtype":"U8","shape":[2],"data_offsets":[4,6]}, "a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}})";
  write(folder / "foreign", with_header(header, {0, 0, -128, 63, 1, 2}));
  const Safetensors file = read_safetensors(folder / "foreign", Checksum::optional);
  ASSERT_EQ(file.tensors.size(), 2u);
  EXPECT_EQ(file.tensors[0].name, "a");
  EXPECT_EQ(file.data(file.tensors[1])[1], std::byte{2});
  const std::string message = format_error([&] { read_safetensors(folder / "foreign"); });
  EXPECT_NE(message.find("no ganforge.checksum"), std::string::npos) << message;
}

struct Bad {
  std::string content;
  const char* expected;  // part of the message
};

TEST(Safetensors, SaysWhatIsWrong) {
  TemporaryFolder folder;
  const auto tensor = [](const std::string& fields) {
    return with_header(R"({"t":{)" + fields + "}}", std::string(8, 'x'));
  };
  const std::string f32 = R"("dtype":"F32","shape":)";
  std::string huge(16, '\xff');
  const std::vector<Bad> cases = {
      {"", "cut short?"},
      {huge, "not a safetensors file"},
      {with_header("{}").substr(0, 9), "cut short or damaged"},
      {with_header("{\"t\":"), "not JSON"},
      {with_header("[1]"), "not a JSON object"},
      {with_header("{\"t\":1e999}"), "not JSON"},
      {with_header(std::string(1'000'000, '[')), "nested too deeply"},
      {with_header(R"({"t":1})"), "tensor 't' is not {dtype, shape, data_offsets}"},
      {with_header(R"({"__metadata__":{"k":1}})"), "'k' is not a string"},
      {with_header(R"({"__metadata__":{"k":"1","k":"2"}})"), "'k' is there twice"},
      {with_header(R"({"t":{},"t":{}})"), "'t' is there twice"},
      {with_header(R"({"__metadata__":{"ganforge.checksum" : "00000000"}})"), "not where its checksum belongs"},
      {with_header(R"({"__metadata__":{"ganforge.checksum":"00000000"}})"), "its checksum is"},
      {tensor(R"("dtype":"BF16","shape":[4],"data_offsets":[0,8])"), "dtype \"BF16\""},
      {tensor(R"("dtype":4,"shape":[4],"data_offsets":[0,8])"), "dtype 4"},
      {tensor(f32 + R"([-2],"data_offsets":[0,8])"), "has shape [-2]"},
      {tensor(f32 + R"([2.0],"data_offsets":[0,8])"), "has shape [2.0]"},
      {tensor(f32 + R"([1,1,1,1,1,1,2],"data_offsets":[0,8])"), "at most 6 counts"},
      {tensor(f32 + R"([3],"data_offsets":[0,8])"), "does not fill its 8 bytes"},
      {tensor(f32 + R"([4611686018427387904,2],"data_offsets":[0,8])"), "does not fill"},
      {tensor(f32 + R"([18446744073709551615],"data_offsets":[0,8])"), "does not fill"},
      {tensor(f32 + R"([2],"data_offsets":[8,0])"), "is at [8, 0) of 8 bytes"},
      {tensor(f32 + R"([2],"data_offsets":[4,12])"), "is at [4, 12) of 8 bytes"},
      {tensor(f32 + R"([2],"data_offsets":[0])"), "expected [begin, end]"},
      {tensor(f32 + R"([1],"data_offsets":[4,8])"), "4 bytes belong to no tensor"},
      {tensor(f32 + R"([1],"data_offsets":[0,4])"), "4 bytes follow the last tensor"},
      {tensor(f32 + R"([2],"data_offsets":[0,8]},"u":{)" + f32 + R"([1],"data_offsets":[4,8])"), "overlaps another"},
      {tensor(f32 + R"([2],"data_offsets":[0,8],"extra":1)"), "is not {dtype"},
  };
  for (const Bad& bad : cases) {
    write(folder / "bad", bad.content);
    const std::string message = format_error([&] { read_safetensors(folder / "bad", Checksum::optional); });
    EXPECT_NE(message.find(bad.expected), std::string::npos) << bad.content.substr(0, 100) << ": " << message;
  }
  EXPECT_NE(format_error([&] { read_safetensors(folder.path()); }).find("is a folder"), std::string::npos);
  EXPECT_NE(format_error([&] { read_safetensors(folder / "absent"); }).find("No such file"), std::string::npos);
}

TEST(Safetensors, RefusesToWriteNonsense) {
  TemporaryFolder folder;
  const float x = 1;
  const std::vector<TensorSource> twice = {{"t", {DType::float32, {}}, &x}, {"t", {DType::float32, {}}, &x}};
  const std::vector<TensorSource> not_utf8 = {{"\xff", {DType::float32, {}}, &x}};
  EXPECT_NE(format_error([&] { write_safetensors(folder / "file", twice, {}); }).find("two tensors"),
            std::string::npos);
  EXPECT_NE(format_error([&] { write_safetensors(folder / "file", not_utf8, {}); }).find("UTF-8"), std::string::npos);
  EXPECT_EQ(folder.entries(), 0);
}

TEST(AtomicFile, WithoutCommitTheOldFileStays) {
  TemporaryFolder folder;
  write(folder / "file", "old");
  {
    AtomicFile file(folder / "file");
    file.write("new");
    EXPECT_EQ(folder.entries(), 2);
  }
  EXPECT_EQ(slurp(folder / "file"), "old");
  EXPECT_EQ(folder.entries(), 1);
  write_atomically(folder / "file", "new");
  EXPECT_EQ(slurp(folder / "file"), "new");
  EXPECT_EQ(folder.entries(), 1);
}

TEST(AtomicFile, FollowsLinksAndKeepsTheMode) {
  TemporaryFolder folder;
  write(folder / "a/file", "old");
  ::chmod((folder / "a/file").c_str(), 0640);
  std::filesystem::create_symlink("a/file", folder / "link");
  write_atomically(folder / "link", "new");
  EXPECT_TRUE(std::filesystem::is_symlink(folder / "link"));
  EXPECT_EQ(slurp(folder / "a/file"), "new");
  struct stat status;
  ASSERT_EQ(::stat((folder / "a/file").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0640u);
  const std::filesystem::path longest = folder / std::string(255, 'n');
  write_atomically(longest, "x");
  EXPECT_EQ(slurp(longest), "x");
}

TEST(AtomicFile, RefusesWhatIsNoRegularFile) {
  TemporaryFolder folder;
  write(folder / "file", "old");
  const auto message = [](const std::filesystem::path& path) {
    return format_error([&] { write_atomically(path, "x"); });
  };
  EXPECT_NE(message("/dev/null").find("is not a regular file"), std::string::npos);
  EXPECT_NE(message(folder.path()).find("is a folder"), std::string::npos);
  EXPECT_NE(message(folder / "absent/file").find("is there a folder"), std::string::npos);
  EXPECT_NE(message(folder / "file/below").find("Not a directory"), std::string::npos);
  EXPECT_NE(message("").find("not the name of a file"), std::string::npos);
}

/// A limit on the size of files stands in for a full disk.
class SizeLimit {
 public:
  explicit SizeLimit(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &old_);
    const rlimit limit{bytes, old_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~SizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &old_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit old_{};
  void (*handler_)(int);
};

TEST(AtomicFile, AFailedWriteLeavesTheOldFileAndNothingElse) {
  TemporaryFolder folder;
  write(folder / "file", "old");
  std::string message;
  {
    SizeLimit limit(1000);
    message = format_error([&] { write_atomically(folder / "file", std::string(5000, 'x')); });
  }
  EXPECT_NE(message.find("File too large"), std::string::npos) << message;
  EXPECT_EQ(slurp(folder / "file"), "old");
  EXPECT_EQ(folder.entries(), 1);
}

}  // namespace
}  // namespace ganforge
