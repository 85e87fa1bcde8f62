"""Trains a model, and says how good it is and what exactly it learned.

The hash is over all fitted numbers: run it twice, or on a colleague's machine, and compare.
"""

import hashlib
import platform

import sklearn
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split

x, y = load_digits(return_X_y=True)
x_train, x_test, y_train, y_test = train_test_split(x, y, random_state=0)
model = RandomForestClassifier(n_estimators=50, random_state=0).fit(x_train, y_train)

fitted = hashlib.sha256()
for tree in model.estimators_:
    for numbers in (tree.tree_.feature, tree.tree_.threshold, tree.tree_.value):
        fitted.update(numbers.tobytes())

print(f"Python {platform.python_version()}, scikit-learn {sklearn.__version__}")
print(f"score {model.score(x_test, y_test):.4f}")
print(f"model sha256:{fitted.hexdigest()}")
