"""`make mutate`: do the tests notice a fault?"""
