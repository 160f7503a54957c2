#include "tests/files.h"

#include <ganforge/data.h>

#include "src/core/nearest.h"

#include <zlib.h>

#include <functional>

namespace ganforge {
namespace {

using test::format_error;
using test::TemporaryFolder;
using test::write;

std::string be32(std::uint32_t value) {
  return {static_cast<char>(value >> 24), static_cast<char>(value >> 16), static_cast<char>(value >> 8),
          static_cast<char>(value)};
}

std::string idx(const std::vector<std::uint32_t>& extents, const std::string& values) {
  std::string file = {0, 0, 8, static_cast<char>(extents.size())};
  for (std::uint32_t extent : extents) file += be32(extent);
  return file + values;
}

std::string gzip(const std::string& content) {
  z_stream stream{};
  deflateInit2(&stream, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, content.size()), 0);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(content.data()));
  stream.avail_in = static_cast<uInt>(content.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string counting(std::size_t count) {
  std::string values(count, 0);
  for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<char>(i * 7);
  return values;
}

const std::string three_images = idx({3, 2, 5}, counting(30));
const std::string three_labels = idx({3}, std::string{2, 0, 1});

/// Restores an environment variable at the end.
class Environment {
 public:
  Environment(const char* name, const std::string& value) : name_(name) {
    if (const char* old = ::getenv(name)) old_ = old;
    had_ = ::getenv(name) != nullptr;
    ::setenv(name, value.c_str(), 1);
  }
  ~Environment() { had_ ? ::setenv(name_, old_.c_str(), 1) : ::unsetenv(name_); }

 private:
  const char* name_;
  std::string old_;
  bool had_ = false;
};

TEST(Idx, ReadsPlainAndGzipByContentNotByName) {
  TemporaryFolder folder;
  write(folder / "plain.gz", three_images);
  write(folder / "packed", gzip(three_images));
  write(folder / "labels", gzip(three_labels));
  for (const char* name : {"plain.gz", "packed"}) {
    const HostDataset data = read_idx(folder / name, folder / "labels");
    EXPECT_EQ(data.count, 3);
    EXPECT_EQ(data.sample, (Shape{2, 5, 1}));
    ASSERT_EQ(data.pixels.size(), 30u);
    for (std::size_t i = 0; i < 30; ++i) EXPECT_EQ(data.pixels[i], static_cast<std::uint8_t>(i * 7));
    EXPECT_EQ(data.labels, (std::vector<std::int32_t>{2, 0, 1}));
    EXPECT_EQ(data.classes, (std::vector<std::string>{"0", "1", "2"}));
  }
}

TEST(Idx, ChannelsAndNoLabels) {
  TemporaryFolder folder;
  write(folder / "rgb", idx({2, 4, 1, 3}, counting(24)));
  const HostDataset data = read_idx(folder / "rgb");
  EXPECT_EQ(data.sample, (Shape{4, 1, 3}));
  EXPECT_TRUE(data.labels.empty());
  EXPECT_TRUE(data.classes.empty());
}

TEST(Idx, GzipOfSeveralMembers) {
  TemporaryFolder folder;
  write(folder / "two", gzip(three_images.substr(0, 21)) + gzip(three_images.substr(21)) + gzip(""));
  EXPECT_EQ(read_idx(folder / "two").count, 3);
}

TEST(Idx, MoreThanOneBufferOfRandomBytes) {
  TemporaryFolder folder;
  std::string values(3'000'000, 0);
  std::uint32_t state = 1;
  for (char& value : values) value = static_cast<char>((state = state * 1664525u + 1013904223u) >> 24);
  for (const std::string& file : {idx({3000, 20, 50}, values), gzip(idx({3000, 20, 50}, values))}) {
    write(folder / "large", file);
    const HostDataset data = read_idx(folder / "large");
    EXPECT_TRUE(std::equal(values.begin(), values.end(), data.pixels.begin(),
                           [](char a, std::uint8_t b) { return static_cast<std::uint8_t>(a) == b; }));
  }
}

TEST(Idx, EveryTruncationIsOneError) {
  TemporaryFolder folder;
  for (const std::string& whole : {three_images, gzip(three_images)}) {
    write(folder / "cut", whole);
    for (std::size_t length = whole.size(); length-- > 0;) {
      std::filesystem::resize_file(folder / "cut", length);
      const std::string message = format_error([&] { read_idx(folder / "cut"); });
      EXPECT_NE(message.find((folder / "cut").string()), std::string::npos) << length << ": " << message;
    }
  }
}

// Some bits of the gzip header, such as its time stamp, carry nothing, nor do those that fill up the last byte of the
// compressed data; any other flip must be seen.
TEST(Idx, EveryFlippedBitOfGzipIsAnErrorOrHarmless) {
  TemporaryFolder folder;
  const std::string whole = gzip(three_images);
  write(folder / "file", whole);
  const HostDataset expected = read_idx(folder / "file");
  for (std::size_t bit = 0; bit < 8 * whole.size(); ++bit) {
    test::flip_bit(folder / "file", bit);
    const std::string message = format_error([&] {
      const HostDataset data = read_idx(folder / "file");
      EXPECT_EQ(data.pixels, expected.pixels) << "bit " << bit;
    });
    test::flip_bit(folder / "file", bit);
    constexpr std::size_t header_bytes = 10, trailer_bytes = 8;
    const bool may_be_idle = bit / 8 < header_bytes || bit / 8 == whole.size() - trailer_bytes - 1;
    EXPECT_TRUE(may_be_idle || !message.empty()) << "bit " << bit;
  }
}

TEST(Idx, EveryFlippedBitOfAPlainHeaderIsAnError) {
  TemporaryFolder folder;
  write(folder / "file", three_images);
  for (std::size_t bit = 0; bit < 8 * 16; ++bit) {
    test::flip_bit(folder / "file", bit);
    EXPECT_NE(format_error([&] { read_idx(folder / "file"); }), "") << "bit " << bit;
    test::flip_bit(folder / "file", bit);
  }
}

struct Bad {
  const char* what;
  std::string content;
  const char* expected;  // part of the message
};

TEST(Idx, SaysWhatIsWrong) {
  TemporaryFolder folder;
  const std::string huge = idx({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, "x");
  const std::vector<Bad> cases = {
      {"empty", "", "offset 0: the file is empty"},
      {"PNG", "\x89PNG\r\n\x1a\n", "starts with 89 50 4e 47, expected IDX images"},
      {"labels", three_labels, "a file of labels"},
      {"floats", std::string{0, 0, 13, 3} + counting(40), "00 00 0d 03"},
      {"no images", idx({0, 2, 5}, ""), "offset 4: the file has no images"},
      {"no columns", idx({3, 2, 0}, ""), "offset 12: axis 2 of the images is empty"},
      {"overflow", huge, "more than a file of"},
      {"overflow in gzip", gzip(huge), "more than a file of"},
      {"count", idx({4, 2, 5}, counting(30)), "the header promises [4, 2, 5]"},
      {"count in gzip", gzip(idx({4, 2, 5}, counting(30))), "offset 46: the content ends here, expected 56 bytes"},
      {"garbage", three_images + "??", "offset 46: 2 bytes follow the last value"},
      {"garbage in gzip", gzip(three_images + "??"), "offset 46: more content follows"},
      {"garbage behind gzip", gzip(three_images) + "??", "not gzip follows"},
      {"bomb", gzip(idx({3, 2, 5}, std::string(1 << 22, 0))), "offset 46: more content follows"},
  };
  for (const Bad& bad : cases) {
    write(folder / "bad", bad.content);
    const std::string message = format_error([&] { read_idx(folder / "bad"); });
    EXPECT_NE(message.find(bad.expected), std::string::npos) << bad.what << ": " << message;
    EXPECT_NE(message.find((folder / "bad").string()), std::string::npos) << message;
  }
  EXPECT_NE(format_error([&] { read_idx(folder / "absent"); }).find("No such file"), std::string::npos);
  EXPECT_NE(format_error([&] { read_idx(folder.path()); }).find("is a folder"), std::string::npos);
  EXPECT_NE(format_error([&] { read_idx("/dev/zero"); }).find("not a regular file"), std::string::npos);
}

TEST(Idx, LabelsMustMatch) {
  TemporaryFolder folder;
  write(folder / "images", three_images);
  write(folder / "labels", idx({2}, std::string{0, 1}));
  const std::string count = format_error([&] { read_idx(folder / "images", folder / "labels"); });
  EXPECT_NE(count.find("2 labels, but"), std::string::npos) << count;
  const std::string swapped = format_error([&] { read_idx(folder / "images", folder / "images"); });
  EXPECT_NE(swapped.find("a file of images"), std::string::npos) << swapped;
}

class FindDataset : public testing::Test {
 protected:
  TemporaryFolder folder_;
  Environment data_{"GANFORGE_DATA", folder_.path().string()};
};

TEST_F(FindDataset, ByNameInTheFoldersOfTheEnvironment) {
  write(folder_ / "fashion-mnist/train-images-idx3-ubyte.gz", gzip(three_images));
  write(folder_ / "fashion-mnist/train-labels-idx1-ubyte", three_labels);
  const HostDataset data = find_dataset("fashion-mnist");
  EXPECT_EQ(data.name, "fashion-mnist");
  EXPECT_EQ(data.count, 3);
  ASSERT_EQ(data.classes.size(), 10u);
  EXPECT_EQ(data.classes[9], "Ankle boot");
}

TEST_F(FindDataset, NamedSetsNeedTheirLabels) {
  write(folder_ / "mnist/t10k-images-idx3-ubyte", three_images);
  const std::string absent = format_error([] { find_dataset("mnist", {.train = false}); });
  EXPECT_NE(absent.find("no t10k-labels-idx1-ubyte[.gz] beside it"), std::string::npos) << absent;
  write(folder_ / "mnist/t10k-labels-idx1-ubyte", idx({3}, std::string{0, 1, 10}));
  const std::string too_large = format_error([] { find_dataset("mnist", {.train = false}); });
  EXPECT_NE(too_large.find("a label is 10"), std::string::npos) << too_large;
}

TEST_F(FindDataset, ByFolderAndByFile) {
  write(folder_ / "mine/train-images-idx3-ubyte", three_images);
  write(folder_ / "mine/t10k-images-idx3-ubyte", idx({1, 2, 5}, counting(10)));
  write(folder_ / "mine/train-labels-idx1-ubyte.gz", gzip(three_labels));
  EXPECT_EQ(find_dataset((folder_ / "mine/").string()).name, "mine");
  EXPECT_EQ(find_dataset((folder_ / "mine").string()).labels.size(), 3u);
  EXPECT_EQ(find_dataset((folder_ / "mine").string(), {.train = false}).count, 1);
  const HostDataset file = find_dataset((folder_ / "mine/train-images-idx3-ubyte").string());
  EXPECT_EQ(file.labels.size(), 3u);
  EXPECT_EQ(file.classes.size(), 3u);
  const std::string empty = format_error([&] { find_dataset(folder_.path().string()); });
  EXPECT_NE(empty.find("no train-images-idx3-ubyte[.gz] in this folder"), std::string::npos) << empty;
}

TEST_F(FindDataset, SaysWhereFilesBelong) {
  Environment home("HOME", (folder_ / "home").string());
  const std::string absent = format_error([] { find_dataset("mnist"); });
  for (const std::string& part : {(folder_ / "mnist").string(), (folder_ / "home/.cache/ganforge/mnist").string(),
                                  std::string("data/mnist"), std::string("train-images-idx3-ubyte[.gz]")}) {
    EXPECT_NE(absent.find(part), std::string::npos) << absent;
  }
  const std::string typo = format_error([] { find_dataset("fashoin_mnist"); });
  EXPECT_NE(typo.find("did you mean fashion-mnist?"), std::string::npos) << typo;
  EXPECT_NE(typo.find("fashion-mnist, mnist"), std::string::npos) << typo;
  EXPECT_NE(format_error([] { find_dataset(""); }).find("no data set ''"), std::string::npos);
  EXPECT_NE(format_error([] { find_dataset("no/such/place"); }).find("no such file or folder"), std::string::npos);
}

TEST(Nearest, Edits) {
  const std::vector<std::string> words = {"learning_rate", "latent", "batch", "seed"};
  EXPECT_EQ(nearest("learnign_rate", words), "learning_rate");
  EXPECT_EQ(nearest("Batch", words), "batch");
  EXPECT_EQ(nearest("batc", words), "batch");
  EXPECT_EQ(nearest("latnet", words), "latent");
  EXPECT_EQ(nearest("sede", words), "seed");
  EXPECT_EQ(nearest("optimizer", words), "");
  EXPECT_EQ(nearest("", words), "");
  EXPECT_EQ(nearest("x", {}), "");
}

}  // namespace
}  // namespace ganforge
