// The program: train-classifier, eval of images, and eval while training.
#include "tests/program.h"

#include <cstdlib>

namespace ganforge::test {
namespace {

class EvalCli : public Cli {
 protected:
  EvalCli() {
    // Found beside the images by its name. Of three classes, in turn.
    write(folder_ / "labels-idx1-ubyte", labels(256, 3));
    ::setenv("XDG_CACHE_HOME", (folder_ / "cache").c_str(), 1);
  }

  /// Where there is a run already.
  void expect_error_of_run(const Words& words, const std::string& part) {
    const Result result = run(words);
    EXPECT_EQ(result.code, 1);
    EXPECT_EQ(std::ranges::count(result.err, '\n'), 1) << result.err;
    EXPECT_NE(result.err.find(part), std::string::npos) << result.err;
  }

  Words cached() const {
    const fs::path folder = path("cache/ganforge/classifiers");
    return fs::exists(folder) ? names_in(folder) : Words{};
  }
};

TEST_F(EvalCli, TrainsAClassifierAndKeepsItForEval) {
  const Words words = {"train-classifier", "images-idx3-ubyte", "--device", "cpu", "--threads", "2", "--steps", "4"};
  const Result text = run(words);
  ASSERT_EQ(text.code, 0) << text.err;
  EXPECT_NE(text.out.find("images-idx3-ubyte: 153 training images [28, 28, 1], 3 classes"), std::string::npos)
      << text.out;
  EXPECT_NE(text.out.find("step 4/4"), std::string::npos) << text.out;
  EXPECT_NE(text.out.find("% of 51 images that were left out right"), std::string::npos) << text.out;
  ASSERT_EQ(cached().size(), 1u);
  EXPECT_TRUE(cached()[0].starts_with("images-idx3-ubyte-28x28x1-")) << cached()[0];
  // The same seed gives the same file.
  const std::string file = slurp(path("cache/ganforge/classifiers") / cached()[0]);
  const json again = json::parse(run(words + Words{"--out", "again.safetensors", "--json"}).out);
  EXPECT_EQ(again["file"], "again.safetensors");
  EXPECT_EQ(again["train_images"], 153);
  EXPECT_TRUE(again["accuracy"].is_number());
  EXPECT_EQ(slurp(path("again.safetensors")), file);
  EXPECT_NE(run(words + Words{"--seed", "2", "--out", "other.safetensors"}).code, 2);
  EXPECT_NE(slurp(path("other.safetensors")), file);
}

// A few real images, with more of a folder's beside them: neither goes where `eval` looks.
TEST_F(EvalCli, LearnsFromFewRealImagesAndExtraOnes) {
  const Words few = {"train-classifier",
                     "images-idx3-ubyte",
                     "--device",
                     "cpu",
                     "--threads",
                     "2",
                     "--steps",
                     "3",
                     "--limit",
                     "30",
                     "--json"};
  const json alone = json::parse(run(few).out);
  EXPECT_EQ(alone["train_images"], 30);
  EXPECT_TRUE(alone["file"].is_null());
  fs::create_directories(path("extra"));
  write(path("extra/images-idx3-ubyte"), images(40));
  write(path("extra/labels-idx1-ubyte"), std::string("\0\0\x8\1\0\0\0\x28", 8) + std::string(40, '\2'));
  const json more = json::parse(run(few + Words{"--extra", "extra/images-idx3-ubyte"}).out);
  EXPECT_EQ(more["train_images"], 70);
  EXPECT_EQ(more["real_images"], 30);
  EXPECT_EQ(more["test_images"], alone["test_images"]);
  EXPECT_TRUE(cached().empty());
  write(path("extra/labels-idx1-ubyte"), std::string("\0\0\x8\1\0\0\0\x28", 8) + std::string(40, '\5'));
  expect_error(few + Words{"--extra", "extra/images-idx3-ubyte"}, 1, {"has no class '3'", "they are 0, 1, 2"});
  fs::remove(path("extra/labels-idx1-ubyte"));
  expect_error(few + Words{"--extra", "extra/images-idx3-ubyte"}, 1, {"no labels"});
}

TEST_F(EvalCli, CountsTheModesOfStackedImages) {
  const Result trained = run(train_words + Words{"--preset", "stacked-quarter", "--data", "stacked:images-idx3-ubyte",
                                                 "--steps", "4", "--batch", "8", "--eval-every", "2"});
  ASSERT_EQ(trained.code, 0) << trained.err;
  const std::string stacked_run = "runs/00000-stacked-quarter-stacked-images-idx3-ubyte";
  const Result result = run({"eval", stacked_run, "--device", "cpu", "--threads", "2", "--n", "300", "--json"});
  ASSERT_EQ(result.code, 0) << result.err;
  const json row = json::parse(result.out);
  EXPECT_EQ(row["data"], "stacked:images-idx3-ubyte");
  EXPECT_EQ(row["n"], 300);
  for (const json& m : {row, row["real"]}) {
    EXPECT_GE(m["modes"], 1);
    EXPECT_LE(m["modes"], 27);
    EXPECT_GE(m["reverse_kl"], 0);
  }
  EXPECT_TRUE(std::ranges::any_of(metrics(stacked_run), [](const json& m) { return m.contains("modes"); }));
  ASSERT_EQ(cached().size(), 1u);
  EXPECT_TRUE(cached()[0].starts_with("images-idx3-ubyte-28x28x1-")) << cached()[0];
}

TEST_F(EvalCli, MeasuresImagesWithAClassifierThatItTrainsOnce) {
  train(small);
  const Words eval = {"eval", run0, "--device", "cpu", "--threads", "2", "--n", "40"};
  const Result first = run(eval + Words{"--json"});
  ASSERT_EQ(first.code, 0) << first.err;
  EXPECT_NE(first.err.find("there is no classifier of images-idx3-ubyte yet: training one on 153 images"),
            std::string::npos)
      << first.err;
  ASSERT_EQ(cached().size(), 1u);
  const json a = json::parse(first.out);
  EXPECT_EQ(a["data"], "images-idx3-ubyte");
  EXPECT_EQ(a["step"], 20);
  EXPECT_EQ(a["n"], 40);
  EXPECT_EQ(a["seed"], 0);
  EXPECT_EQ(a["reference"]["images"], 51);
  EXPECT_EQ(a["reference"]["own_test"], false);
  EXPECT_EQ(a["real"]["n"], 40);
  EXPECT_EQ(a["classifier"]["same_data"], true);
  for (const char* key : {"frechet", "kernel", "precision", "recall", "density", "coverage", "class_kl"}) {
    EXPECT_TRUE(a[key].is_number()) << key;
    EXPECT_TRUE(a["real"][key].is_number()) << key;
  }
  // Both are noise, but the samples are another kind of it.
  EXPECT_GT(a["frechet"].get<double>(), a["real"]["frechet"].get<double>());
  EXPECT_GT(a["real"]["frechet"].get<double>(), 0);

  const Result second = run(eval + Words{"--json"});
  EXPECT_EQ(second.err, "");
  EXPECT_EQ(second.out, first.out);
  EXPECT_NE(run(eval + Words{"--seed", "1", "--json"}).out, first.out);
  const Result text = run(eval);
  for (const char* part : {"frechet", "class_kl", "model", "real", "% of the test images"})
    EXPECT_NE(text.out.find(part), std::string::npos) << part << "\n" << text.out;

  expect_error_of_run(eval + Words{"--classifier", "small.toml"}, "small.toml");
  expect_error_of_run(eval + Words{"--checkpoint", "best"}, "--eval-every");
  const Result bad = run(eval + Words{"--n", "5"});
  EXPECT_EQ(bad.code, 2);
}

TEST_F(EvalCli, ImagesWithoutLabelsNeedAClassifier) {
  fs::remove(path("labels-idx1-ubyte"));
  train(small);
  const Result result = run({"eval", run0, "--device", "cpu", "--n", "40"});
  EXPECT_EQ(result.code, 1);
  EXPECT_NE(result.err.find("has no labels for a classifier to learn"), std::string::npos) << result.err;
  expect_error_of_run(train_words + Words{"--eval-every", "5"} + small, "has no labels");
}

TEST_F(EvalCli, KeepsTheBestCheckpointOfATrainingRun) {
  const Words eval_every = {"--eval-every", "8", "--progress", "plain"};
  const Result result = run(train_words + eval_every + small);
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_NE(result.out.find("step 8  frechet "), std::string::npos) << result.out;
  EXPECT_NE(result.out.find("best.safetensors (step "), std::string::npos) << result.out;
  std::int64_t best_step = 0;
  double best = 1e300;
  std::vector<std::int64_t> steps;
  for (const json& row : metrics(run0)) {
    if (!row.contains("frechet")) continue;
    EXPECT_EQ(row["n"], 2500);
    EXPECT_EQ(row["images"], 8 * row["step"].get<std::int64_t>());
    steps.push_back(row["step"]);
    if (row["frechet"].get<double>() < best) best = row["frechet"], best_step = steps.back();
  }
  EXPECT_EQ(steps, (std::vector<std::int64_t>{8, 16, 20}));
  const auto step_of = [&](const std::string& folder) {
    return json::parse(
        run({"eval", folder, "--checkpoint", "best", "--device", "cpu", "--n", "40", "--json"}).out)["step"];
  };
  EXPECT_EQ(step_of(run0), best_step);
  EXPECT_EQ(run({"sample", run0, "--checkpoint", "best", "--device", "cpu"}).code, 0);

  // Going back to before the best one leaves it, under another name; going on compares with it.
  const std::string checkpoints = run0 + "/checkpoints/";
  ASSERT_EQ(run({"train", "--resume", run0, "--steps", "24", "--device", "cpu"}).code, 0);
  EXPECT_GE(step_of(run0), best_step);
  ASSERT_EQ(
      run({"train", "--resume", checkpoints + "step-000015.safetensors", "--steps", "15", "--device", "cpu"}).code, 0);
  EXPECT_EQ(fs::exists(path(checkpoints + "best.safetensors")),
            !fs::exists(path(checkpoints + "best.safetensors.unused")));
}

TEST_F(EvalCli, KeepsTheBestCheckpointOfAMixture) {
  const Result result = run(train_words + Words{"--preset", "toy-2d", "--data", "ring8", "--steps", "4", "--batch",
                                                "16", "--eval-every", "2", "--progress", "none"});
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.err, "");
  const std::string folder = "runs/00000-toy-2d-ring8";
  EXPECT_NE(slurp(path(folder) / "config.toml").find("eval_every = 2\neval_samples = 2500\n"), std::string::npos);
  std::int64_t rows = 0;
  for (const json& row : metrics(folder)) {
    if (!row.contains("modes")) continue;
    ++rows;
    for (const char* key : {"modes", "high_quality", "reverse_kl", "sigma_ratio", "n"})
      EXPECT_TRUE(row[key].is_number());
  }
  EXPECT_EQ(rows, 2);
  EXPECT_TRUE(fs::exists(path(folder) / "checkpoints/best.safetensors"));
  EXPECT_EQ(run({"eval", folder, "--checkpoint", "best", "--device", "cpu"}).code, 0);
}

}  // namespace
}  // namespace ganforge::test
