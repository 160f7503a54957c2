// Fréchet distance between two normal distributions.
#include <ganforge/error.h>
#include <ganforge/metrics.h>

#include <Eigen/Eigenvalues>

#include <fmt/format.h>

namespace ganforge {
namespace {

struct Moments {
  Eigen::VectorXd mean;
  Eigen::MatrixXd covariance;  // unbiased
};

Moments moments_of(const Features& features) {
  using Rows = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const Eigen::Map<const Rows> values(features.values.data(), features.count, features.size);
  Eigen::MatrixXd centred = values.cast<double>();
  const Eigen::VectorXd mean = centred.colwise().mean();
  centred.rowwise() -= mean.transpose();
  return {mean, centred.transpose() * centred / static_cast<double>(features.count - 1)};
}

}  // namespace

double frechet_distance(const Features& samples, const Features& reference) {
  if (samples.size != reference.size)
    throw ShapeError(fmt::format("features of {} and of {} numbers cannot be compared", samples.size, reference.size));
  if (samples.count < 2 || reference.count < 2) throw ConfigError("a covariance needs at least 2 samples");
  const Moments a = moments_of(samples), b = moments_of(reference);
  // Σ₁Σ₂ is similar to the symmetric Σ₁^½ Σ₂ Σ₁^½, whose eigenvalues are not negative but by rounding.
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> of_a(a.covariance);
  const Eigen::VectorXd roots = of_a.eigenvalues().cwiseMax(0.0).cwiseSqrt();
  const Eigen::MatrixXd root = of_a.eigenvectors() * roots.asDiagonal() * of_a.eigenvectors().transpose();
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> product(root * b.covariance * root, Eigen::EigenvaluesOnly);
  const double cross = product.eigenvalues().cwiseMax(0.0).cwiseSqrt().sum();
  return (a.mean - b.mean).squaredNorm() + a.covariance.trace() + b.covariance.trace() - 2 * cross;
}

}  // namespace ganforge
