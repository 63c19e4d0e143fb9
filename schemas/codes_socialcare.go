package schemas

func socialCareCodes() []Entry { return nil }
