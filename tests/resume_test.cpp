// Runs that are interrupted: resuming, damage, signals, full disks.
#include "tests/program.h"

#include "src/data/safetensors.h"

#include <ganforge/gan.h>

#include <cstring>
#include <fstream>
#include <limits>

namespace ganforge::test {
namespace {

TEST_F(Cli, KilledAndResumedEqualsUninterrupted) {
  write(path("full.toml"),
        "preset = \"seed-dense\"\ndata = \"images-idx3-ubyte\"\nmetrics_every = 5\n"
        "checkpoint_every = 40\nsample_every = 50\n");
  const Words full = {"--config", "full.toml"};
  train(full + Words{"--steps", "400", "--out", "a"});
  train(full + Words{"--steps", "200", "--out", "b"});
  const std::string a = "a/00000-seed-dense-images-idx3-ubyte", b = "b/00000-seed-dense-images-idx3-ubyte";
  {
    Process process(folder_.path(), train_words + Words{"--resume", b, "--steps", "100000"});
    ASSERT_TRUE(eventually([&] { return metrics(b).back()["step"] >= 250; }));
    process.send(SIGKILL);
    ASSERT_EQ(process.wait().signal, SIGKILL);
  }
  // The newest checkpoint that there can be when the process was slow to end; at worst none of the second process.
  for (const auto& entry : fs::directory_iterator(path(b) / "checkpoints"))
    if (entry.path().stem() > "step-000360") fs::remove(entry);
  write(path(b) / "checkpoints/.ganforge-1-1.tmp", "half");
  { std::ofstream(path(b) / "metrics.jsonl", std::ios::app) << "{\"step\":9"; }
  train({"--resume", b, "--steps", "400"});

  const Safetensors wanted = read_safetensors(path(a) / "checkpoints/step-000400.safetensors");
  const Safetensors got = read_safetensors(path(b) / "checkpoints/step-000400.safetensors");
  ASSERT_EQ(got.tensors.size(), wanted.tensors.size());
  for (const Safetensors::Tensor& tensor : wanted.tensors) {
    const Safetensors::Tensor* other = got.find(tensor.name);
    ASSERT_TRUE(other && other->type == tensor.type) << tensor.name;
    EXPECT_EQ(std::memcmp(got.data(*other), wanted.data(tensor), tensor.type.bytes()), 0) << tensor.name;
  }
  std::vector<json> rows_a = metrics(a), rows_b = metrics(b);
  EXPECT_EQ(rows_a.size(), 80u);
  for (auto* rows : {&rows_a, &rows_b})
    for (json& row : *rows) row.erase("images_per_s"), row.erase("seconds");
  EXPECT_EQ(rows_a, rows_b);
  EXPECT_EQ(names_in(path(a) / "samples"), names_in(path(b) / "samples"));
  EXPECT_EQ(slurp(path(a) / "samples/step-000400.png"), slurp(path(b) / "samples/step-000400.png"));
  EXPECT_FALSE(fs::exists(path(b) / "checkpoints/.ganforge-1-1.tmp"));
}

/// A checkpoint in which a number of the generator is NaN.
void poison(const fs::path& checkpoint) {
  Safetensors file = read_safetensors(checkpoint);
  std::vector<TensorSource> tensors;
  std::vector<float> weights;
  for (const Safetensors::Tensor& tensor : file.tensors) {
    tensors.push_back({tensor.name, tensor.type, file.data(tensor)});
    if (tensor.name != "generator/weights") continue;
    weights.resize(tensor.type.bytes() / sizeof(float));
    std::memcpy(weights.data(), file.data(tensor), tensor.type.bytes());
    weights[100] = std::numeric_limits<float>::quiet_NaN();
    tensors.back().values = weights.data();
  }
  write_safetensors(checkpoint, tensors, file.metadata);
}

TEST_F(Cli, ANanStopsTheRunAndIsNamed) {
  train(small);
  poison(path(run0) / "checkpoints/step-000020.safetensors");
  const Result stopped = run(train_words + Words{"--resume", run0, "--steps", "30"});
  EXPECT_EQ(stopped.code, 1);
  EXPECT_NE(stopped.err.find("training diverged at step 21: the weight generator/0_linear/w is not finite"),
            std::string::npos)
      << stopped.err;
  EXPECT_NE(stopped.err.find("generator/0_linear/w was bad before step 21 began (element 100 of "), std::string::npos)
      << stopped.err;
  const json event = json::parse(slurp(path(run0) / "events.jsonl"));
  EXPECT_EQ(event["step"], 21);
  EXPECT_EQ(event["event"], "not_finite");
  EXPECT_EQ(event["tensor"], "weight generator/0_linear/w");
  EXPECT_EQ(event["cause"]["variable"], "generator/0_linear/w");
}

TEST_F(Cli, RollbackEndsWithAHealthyRun) {
  train(small);
  poison(path(run0) / "checkpoints/step-000020.safetensors");
  const float before = load_config(path(run0) / "config.toml").training.generator_adam.lr;
  const Result healed = run(train_words + Words{"--resume", run0, "--steps", "30", "--on-nan", "rollback"});
  EXPECT_EQ(healed.code, 0) << healed.err;
  EXPECT_NE(healed.err.find("back to step 15 with learning rates"), std::string::npos) << healed.err;
  EXPECT_EQ(load_config(path(run0) / "config.toml").training.generator_adam.lr, before / 2);
  const std::vector<json> rows = metrics(run0);
  EXPECT_EQ(rows.back()["step"], 30);
  for (const json& row : rows) EXPECT_TRUE(row["d_loss"].is_number() && row["g_loss"].is_number()) << row;
  EXPECT_TRUE(fs::exists(path(run0) / "checkpoints/step-000030.safetensors"));
  const std::string events = slurp(path(run0) / "events.jsonl");
  EXPECT_NE(events.find("\"event\":\"rollback\",\"from_step\":21"), std::string::npos) << events;
}

TEST_F(Cli, HopelessRatesAreGivenUp) {
  const Result lost =
      run(train_words + Words{"--preset", "seed-dense", "--data", "images-idx3-ubyte", "--batch", "4", "--steps", "50",
                              "--lr-g", "1e30", "--lr-d", "1e30", "--on-nan", "rollback"});
  EXPECT_EQ(lost.code, 1);
  EXPECT_NE(lost.err.find("the first bad value is made in step "), std::string::npos) << lost.err;
  EXPECT_NE(lost.err.find("given up after 5 rollbacks"), std::string::npos) << lost.err;
}

TEST_F(Cli, ResumeLimits) {
  train(small);
  const Words resume = train_words + Words{"--resume", run0};
  const Result past = run(resume + Words{"--steps", "10"});
  EXPECT_EQ(past.code, 1);
  EXPECT_NE(past.err.find("at step 20 already"), std::string::npos) << past.err;
  EXPECT_EQ(metrics(run0).size(), 10u);  // untouched
  EXPECT_EQ(run(resume).code, 0);        // nothing left to do

  // From an earlier checkpoint; the later ones are set aside.
  train({"--resume", run0 + "/checkpoints/step-000010.safetensors", "--steps", "12", "--checkpoint-every", "0"});
  EXPECT_EQ(names_in(path(run0) / "checkpoints"),
            (Words{"step-000010.safetensors", "step-000012.safetensors", "step-000015.safetensors.unused",
                   "step-000020.safetensors.unused"}));
  EXPECT_EQ(metrics(run0).size(), 6u);
  EXPECT_EQ(names_in(path(run0) / "samples"), (Words{"step-000000.png", "step-000010.png", "step-000012.png"}));

  const Result threads = run(resume + Words{"--threads", "7", "--steps", "14"});
  EXPECT_EQ(threads.code, 0);
  EXPECT_NE(threads.err.find("is '7' now: the last bits of the results may differ"), std::string::npos) << threads.err;
}

TEST_F(Cli, DamagedCheckpoints) {
  train(small);
  const fs::path newest = path(run0) / "checkpoints/step-000020.safetensors";
  const std::string whole = slurp(newest);
  const Words sample = {"sample", "--device", "cpu", "--out", "s.png"};
  const auto expect_damaged = [&](const std::string& what) {
    SCOPED_TRACE(what);
    const Result result = run(sample + Words{newest});
    EXPECT_EQ(result.code, 1);
    EXPECT_EQ(std::ranges::count(result.err, '\n'), 1) << result.err;
    EXPECT_NE(result.err.find("step-000020.safetensors"), std::string::npos) << result.err;
    EXPECT_FALSE(fs::exists(path("s.png")));
  };
  for (std::size_t bit : {std::size_t(0), std::size_t(70), whole.size() * 3, whole.size() * 8 - 1}) {
    flip_bit(newest, bit);
    expect_damaged(fmt::format("bit {}", bit));
    flip_bit(newest, bit);
  }
  for (std::size_t size : {std::size_t(0), std::size_t(7), whole.size() / 2, whole.size() - 1}) {
    write(newest, whole.substr(0, size));
    expect_damaged(fmt::format("{} bytes", size));
  }
  // The run goes on from the one before and says so.
  const Result result = run(train_words + Words{"--resume", run0, "--steps", "20"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_NE(result.err.find("using the one before, of step 15"), std::string::npos) << result.err;
  EXPECT_EQ(slurp(newest), whole);
  EXPECT_EQ(metrics(run0).size(), 10u);

  // A checkpoint of another model.
  write(path("other.toml"), "preset = \"seed-dense\"\ndata = \"images-idx3-ubyte\"\nsteps = 1\n");
  train({"--config", "other.toml", "--out", "other"});
  fs::copy_file(path("other/00000-seed-dense-images-idx3-ubyte/checkpoints/step-000001.safetensors"), newest,
                fs::copy_options::overwrite_existing);
  const Result other = run(train_words + Words{"--resume", run0, "--steps", "30"});
  EXPECT_EQ(other.code, 1);
  EXPECT_NE(other.err.find("a checkpoint of another model"), std::string::npos) << other.err;
}

TEST_F(Cli, SampleWritesGridsAndArrays) {
  train(small);
  const Words sample = {"sample", run0, "--device", "cpu"};
  ASSERT_EQ(run(sample).code, 0);
  EXPECT_EQ(slurp(path("samples.png")), slurp(path(run0) / "samples/step-000020.png"));  // 64 of seed 0
  const auto array = [&](const Words& words) {
    const Result result = run(sample + words + Words{"--out", "x.npy"});
    EXPECT_EQ(result.code, 0) << result.err;
    return slurp(path("x.npy"));
  };
  const std::string five = array({"--n", "5"}), seventy = array({"--n", "70"});
  EXPECT_EQ(five.substr(1, 5), "NUMPY");
  EXPECT_NE(five.find("(5, 28, 28, 1"), std::string::npos);
  const std::size_t bytes = 5 * 784 * sizeof(float);
  EXPECT_EQ(five.substr(five.size() - bytes), seventy.substr(seventy.size() - 14 * bytes, bytes));
  EXPECT_EQ(array({"--n", "5"}), five);
  EXPECT_NE(array({"--n", "5", "--seed", "1"}), five);
  EXPECT_EQ(run(sample + Words{"--out", "none/x.png"}).code, 1);
}

TEST_F(Cli, SignalsFinishTheStepAndSave) {
  for (const auto& [signal, code] : {std::pair(SIGINT, 130), std::pair(SIGTERM, 143)}) {
    fs::remove_all(path("runs"));
    Process process(folder_.path(), train_words + Words{"--steps", "1000000000", "--checkpoint-every", "0"} + small);
    ASSERT_TRUE(eventually([&] { return fs::exists(path(run0) / "metrics.jsonl") && !metrics(run0).empty(); }));
    process.send(signal);
    const Result result = process.wait();
    EXPECT_EQ(result.code, code);
    EXPECT_EQ(result.err, "");
    EXPECT_NE(result.out.find("train --resume " + run0), std::string::npos) << result.out;
    const Words checkpoints = names_in(path(run0) / "checkpoints");
    ASSERT_EQ(checkpoints.size(), 1u);
    const std::int64_t step = std::stoll(checkpoints[0].substr(5));
    EXPECT_LE(step - metrics(run0).back()["step"].get<std::int64_t>(), 1);
    EXPECT_EQ(run(train_words + Words{"--resume", run0, "--steps", std::to_string(step + 3)}).code, 0);
  }
}

TEST_F(Cli, TwoProcessesCannotWriteOneRun) {
  train(small);
  Process first(folder_.path(), train_words + Words{"--resume", run0, "--steps", "1000000000"});
  ASSERT_TRUE(eventually([&] { return metrics(run0).back()["step"] > 20; }));
  TemporaryFolder elsewhere;
  const Result second =
      Process(elsewhere.path(), train_words + Words{"--resume", path(run0), "--steps", "1000000000"}).wait();
  EXPECT_EQ(second.code, 1);
  EXPECT_NE(second.err.find("another process"), std::string::npos) << second.err;
}

TEST_F(Cli, FullDisk) {
  // No room for the first files: nothing is left.
  Result result = run(train_words + small, 200);
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(std::ranges::count(result.err, '\n'), 1) << result.err;
  EXPECT_NE(result.err.find("cannot write"), std::string::npos) << result.err;
  EXPECT_EQ(names_in(path("runs")), Words{});

  // No room for metrics: whole lines are.
  write(path("lines.toml"), small_model);
  result = run(train_words +
                   Words{"--config", "lines.toml", "--steps", "5000", "--sample-every", "0", "--checkpoint-every", "0"},
               4000);
  EXPECT_EQ(result.code, 1);
  EXPECT_NE(result.err.find("metrics.jsonl"), std::string::npos) << result.err;
  EXPECT_EQ(std::ranges::count(result.err, '\n'), 1) << result.err;
  const std::string text = slurp(path("runs/00000-lines-images-idx3-ubyte/metrics.jsonl"));
  EXPECT_TRUE(text.ends_with("}\n"));
  EXPECT_GT(text.size(), 3700u);

  // No room for a checkpoint: no half of one.
  result = run(train_words + Words{"--data", "images-idx3-ubyte", "--steps", "2", "--sample-every", "0"}, 100'000);
  EXPECT_EQ(result.code, 1);
  EXPECT_NE(result.err.find("step-000002.safetensors"), std::string::npos) << result.err;
  EXPECT_EQ(names_in(path("runs/00001-dcgan-28-images-idx3-ubyte/checkpoints")), Words{});
}

}  // namespace
}  // namespace ganforge::test
