// The program with data that have labels: class grids, samples of a class, labelled sets.
#include "tests/program.h"

#include <ganforge/data.h>

#include <zlib.h>

namespace ganforge::test {
namespace {

const std::string conditional_model = R"(data = "images-idx3-ubyte"
steps = 6
batch = 8
sample_every = 3
checkpoint_every = 3
metrics_every = 2
[latent]
shape = [4]
[[generator]]
type = "label_concat"
[[generator]]
type = "linear"
out_features = 784
[[generator]]
type = "tanh"
[[generator]]
type = "reshape"
shape = [28, 28, 1]
[[discriminator]]
type = "flatten"
[[discriminator]]
type = "class_head"
[[discriminator]]
type = "linear"
)";

class LabelledCli : public Cli {
 protected:
  LabelledCli() { write_labels(3), write(path("conditional.toml"), conditional_model); }

  void write_labels(int classes) { write(path("labels-idx1-ubyte"), labels(256, classes)); }

  const std::string run = "runs/00000-conditional-images-idx3-ubyte";
  const Words sample_words = {"sample", run, "--device", "cpu"};
  const Words conditional = {"--config", "conditional.toml"};
};

std::uint32_t number(const std::string& bytes, std::size_t at, int size) {
  std::uint32_t value = 0;
  for (int i = 0; i < size; ++i)
    value |= static_cast<std::uint32_t>(static_cast<unsigned char>(bytes.at(at + static_cast<std::size_t>(i))))
             << 8 * i;
  return value;
}

/// The files of an archive, found through its directory.
std::map<std::string, std::string> unzip(const std::string& zip) {
  std::map<std::string, std::string> files;
  const std::size_t end = zip.size() - 22;
  EXPECT_EQ(zip.substr(end, 4), "PK\x05\x06");
  std::size_t at = number(zip, end + 16, 4);
  for (std::uint32_t i = 0; i < number(zip, end + 10, 2); ++i) {
    EXPECT_EQ(zip.substr(at, 4), "PK\x01\x02");
    const std::uint32_t crc = number(zip, at + 16, 4), size = number(zip, at + 24, 4),
                        name_size = number(zip, at + 28, 2);
    const std::string name = zip.substr(at + 46, name_size);
    const std::size_t local = number(zip, at + 42, 4);
    EXPECT_EQ(zip.substr(local, 4), "PK\x03\x04");
    EXPECT_EQ(zip.substr(local + 4, 26), zip.substr(at + 6, 26));
    files[name] = zip.substr(local + 30 + name_size, size);
    EXPECT_EQ(crc32_z(0, reinterpret_cast<const Bytef*>(files[name].data()), size), crc);
    at += 46 + name_size;
  }
  EXPECT_EQ(at, end);
  return files;
}

TEST_F(LabelledCli, TrainsShowsAndResumes) {
  train(conditional);
  const std::string config = slurp(path(run) / "config.toml");
  EXPECT_NE(config.find("classes = ['0', '1', '2']"), std::string::npos) << config;
  const std::vector<json> rows = metrics(run);
  ASSERT_EQ(rows.size(), 3u);
  for (const json& row : rows) {
    for (const char* key : {"class_loss", "class_accuracy", "class_agreement"})
      EXPECT_TRUE(row[key].is_number()) << key;
    EXPECT_FALSE(row.contains("code_loss"));
  }
  // The picture is that of the run: three rows, ten columns.
  ASSERT_EQ(Cli::run(sample_words).code, 0);
  EXPECT_EQ(slurp(path("samples.png")), slurp(path(run) / "samples/step-000006.png"));
  train({"--resume", run + "/checkpoints/step-000003.safetensors", "--steps", "6"});
  EXPECT_EQ(slurp(path("samples.png")), slurp(path(run) / "samples/step-000006.png"));

  write_labels(4);
  const Result other = Cli::run(train_words + Words{"--resume", run, "--steps", "9"});
  EXPECT_EQ(other.code, 1);
  for (const char* part : {"made for the classes 0, 1, 2, but those of", "are 0, 1, 2, 3; remove 'classes'"})
    EXPECT_NE(other.err.find(part), std::string::npos) << other.err;
}

TEST_F(LabelledCli, SamplesOfAClass) {
  train(conditional);
  ASSERT_EQ(Cli::run(sample_words + Words{"--n", "5", "--class", "2", "--out", "two.npy"}).code, 0);
  ASSERT_EQ(Cli::run(sample_words + Words{"--n", "5", "--out", "in-turn.npy"}).code, 0);
  const std::string two = slurp(path("two.npy")), in_turn = slurp(path("in-turn.npy"));
  ASSERT_EQ(two.size(), in_turn.size());
  const std::size_t sample = 784 * 4, begin = two.size() - 5 * sample;
  EXPECT_EQ(two.substr(begin + 2 * sample, sample), in_turn.substr(begin + 2 * sample, sample));
  EXPECT_NE(two.substr(begin, sample), in_turn.substr(begin, sample));
}

TEST_F(LabelledCli, WritesLabelledSets) {
  train(conditional);
  ASSERT_EQ(Cli::run(sample_words + Words{"--per-class", "4", "--out", "set"}).code, 0);
  const HostDataset data = find_dataset(path("set").string());
  EXPECT_EQ(data.count, 12);
  EXPECT_EQ(data.classes, (Words{"0", "1", "2"}));
  EXPECT_EQ(data.sample, (Shape{28, 28, 1}));

  const Result npz = Cli::run(sample_words + Words{"--per-class", "4", "--out", "set.npz"});
  ASSERT_EQ(npz.code, 0) << npz.err;
  const auto files = unzip(slurp(path("set.npz")));
  ASSERT_EQ(files.size(), 2u);
  const std::string &x = files.at("x_train.npy"), &y = files.at("y_train.npy");
  EXPECT_NE(x.find("'|u1', 'fortran_order': False, 'shape': (12, 28, 28, )"), std::string::npos) << x.substr(0, 100);
  EXPECT_NE(y.find("'<i4', 'fortran_order': False, 'shape': (12, )"), std::string::npos) << y.substr(0, 100);
  // The same samples, class after class.
  EXPECT_TRUE(std::equal(data.pixels.begin(), data.pixels.end(),
                         reinterpret_cast<const std::uint8_t*>(x.data()) + x.size() - 12 * 784));
  for (std::size_t i = 0; i < 12; ++i) EXPECT_EQ(number(y, y.size() - 48 + 4 * i, 4), i / 4);
}

TEST_F(LabelledCli, Mistakes) {
  train(conditional);
  train({"--config", "small.toml", "--out", "plain"});
  const auto expect = [&](const Words& words, int code, const std::string& part) {
    const Result result = Cli::run(words);
    EXPECT_EQ(result.code, code);
    EXPECT_EQ(std::ranges::count(result.err, '\n'), 1) << result.err;
    EXPECT_NE(result.err.find(part), std::string::npos) << result.err;
  };
  expect(sample_words + Words{"--class", "3"}, 1, "there is no class '3'; there are 0 to 2: 0, 1, 2");
  expect(sample_words + Words{"--per-class", "2"}, 2, "--per-class needs --out");
  expect(sample_words + Words{"--per-class", "2", "--n", "3", "--out", "d"}, 2, "leave out --n and --class");
  expect(sample_words + Words{"--out", "x.npz"}, 2, ".npz is for --per-class");
  expect(sample_words + Words{"--per-class", "2", "--out", run}, 1, "is not a new or an empty folder");
  const std::string plain = "plain/00000-small-images-idx3-ubyte";
  expect({"sample", plain, "--device", "cpu", "--class", "1"}, 1,
         "the model makes samples of no class: --class wants a conditional one");
  expect({"sample", plain, "--device", "cpu", "--per-class", "1", "--out", "d"}, 1,
         "--per-class wants a conditional one");
  fs::remove(path("labels-idx1-ubyte"));
  expect(train_words + conditional, 1, "the model is conditional, but images-idx3-ubyte has no labels");
  EXPECT_FALSE(fs::exists(path("d")));
}

}  // namespace
}  // namespace ganforge::test
