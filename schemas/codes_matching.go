package schemas

func matchingCodes() []Entry { return nil }
